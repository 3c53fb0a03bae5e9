"""Scores on the page: the same numbers as their table's."""

from __future__ import annotations

import re

import pyarrow as pa

from fve_pipeline.evaluation.report import SCHEMA
from fve_pipeline.look.report.scores import scores_section
from fve_pipeline.metrics import bootstrap_mean

DICE = (0.2, 0.9, 0.4, 0.7)


def made() -> pa.Table:
    rows = []
    for number, dice in enumerate(DICE):
        case = {"case": f"a/{number}", "dataset": "a", "modality": "CT", "dsc": dice}
        rows += [case, case | {"class_id": 3}]
    plain = dict.fromkeys(SCHEMA.names)
    return pa.Table.from_pylist([plain | row for row in rows], schema=SCHEMA)


def test_the_median_of_an_even_number_lies_between_the_middle_two() -> None:
    assert "median 0.550 of 4 cases" in scores_section(made(), {("a", 3): "liver"})


def test_intervals_are_those_of_the_evaluation() -> None:
    page = scores_section(made(), {})
    for group in (("all", "", None), ("modality", "CT", None)):
        found = bootstrap_mean(DICE, seed=0, name=f"{group}dsc")
        assert re.search(rf"{found.low:.3f}.{{1,12}}{found.high:.3f}", page), (group, found)
