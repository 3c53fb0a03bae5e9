"""Floors: so many cases of every modality, dataset and class, where there are that many."""

from __future__ import annotations

from typing import Any

import numpy as np

from fve_pipeline.coreset.method import Choice, SelectionProblem, SelectionSettings
from fve_pipeline.coreset.table import CaseTable

__all__ = ["FloorFiller", "class_shortfall", "shortfall_note"]

Ints = np.ndarray[Any, np.dtype[np.int64]]


class FloorFiller:
    """Takes cases at random until every floor is met or the budget is spent.

    One level at a time: first one case for everything, then two, and so on, so that a small budget is spread
    and not used up by the first floors. Within a level modalities come first, then datasets, then classes,
    small groups before large ones, since a case taken for a rare class often serves common ones too.
    """

    def __init__(self, problem: SelectionProblem) -> None:
        self.problem = problem
        self.taken = np.zeros(len(problem.table), bool)
        self.choice = Choice([], [])
        self._groups = _groups(problem)
        self._count = [0] * len(self._groups)
        self._member_of = _memberships(problem.table, self._groups)

    def take(self, row: int, reason: str) -> None:
        """Take a case that is not taken yet."""
        self.taken[row] = True
        self.choice.rows.append(row)
        self.choice.reasons.append(reason)
        for group in self._member_of[row]:
            self._count[group] += 1

    def fill(self, budget: int) -> None:
        """Take up to ``budget`` cases for the floors."""
        highest = max((floor for _, floor, _ in self._groups), default=0)
        cursors = [0] * len(self._groups)
        for level in range(1, highest + 1):
            for number, (name, floor, rows) in enumerate(self._groups):
                want = min(level, floor, len(rows))
                while self._count[number] < want:
                    if len(self.choice.rows) >= budget:
                        return
                    while self.taken[rows[cursors[number]]]:
                        cursors[number] += 1
                    self.take(rows[cursors[number]], f"floor of {name}: {self._count[number] + 1} of {want}")


def _groups(problem: SelectionProblem) -> list[tuple[str, int, list[int]]]:
    """(name, floor, rows in random order) of every modality, dataset and class that has a case."""
    table, settings = problem.table, problem.settings
    order = problem.by_key(np.arange(len(table)))
    modalities = _split(table.modality.codes[order], order, len(table.modality.names))
    datasets = _split(table.dataset.codes[order], order, len(table.dataset.names))
    ordered = table.take(order)
    entries = np.repeat(order, np.diff(ordered.indptr))
    classes = _split(ordered.indices, entries, len(table.classes))
    out: list[tuple[str, int, list[int]]] = []
    for kind, floor, names, groups in (
        ("modality", settings.modality_floor, table.modality.names, modalities),
        ("dataset", settings.dataset_floor, table.dataset.names, datasets),
        ("class", settings.class_floor, table.classes, classes),
    ):
        found = [(f"{kind} {name}", floor, rows) for name, rows in zip(names, groups, strict=True) if rows]
        out += sorted(found, key=lambda group: len(group[2]))
    return out


def _split(codes: Any, rows: Ints, n: int) -> list[list[int]]:
    """Rows of each code, keeping their order."""
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=n))
    return [rows[order[start:end]].tolist() for start, end in zip([0, *ends], ends, strict=False)]


def _memberships(table: CaseTable, groups: list[tuple[str, int, list[int]]]) -> list[list[int]]:
    out: list[list[int]] = [[] for _ in range(len(table))]
    for number, (_, _, rows) in enumerate(groups):
        for row in rows:
            out[row].append(number)
    return out


def class_shortfall(table: CaseTable, rows: list[int], floor: int) -> tuple[Ints, Ints]:
    """Return the classes that have fewer than ``floor`` positive cases in ``rows`` although the table has more.

    Their numbers, and how many positives each of them has.
    """
    have = table.take(rows).positives()
    short = np.flatnonzero(have < np.minimum(table.positives(), floor))
    return short, have[short]


def shortfall_note(problem: SelectionProblem, rows: list[int], needed: int) -> list[str]:
    """One note with numbers when a class floor was not met, none otherwise."""
    settings: SelectionSettings = problem.settings
    short, have = class_shortfall(problem.table, rows, settings.class_floor)
    if not len(short):
        return []
    worst = problem.table.classes[int(short[np.argmin(have)])]
    return [
        f"{len(short)} of {len(problem.table.classes)} classes get fewer positive cases than their floor "
        f"({settings.class_floor}, or all that a class has; {int((have == 0).sum())} get none; first: {worst}): "
        f"the floors alone take {needed} cases, the budget is {problem.budget}"
    ]
