"""Scores on the page: the same numbers as their table's."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
import SimpleITK as sitk
import store_maker as maker

from fve_pipeline.evaluation.report import SCHEMA
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.look.report.charts import bubbles
from fve_pipeline.look.report.html import facts
from fve_pipeline.look.report.known import KnownCase, KnownCases
from fve_pipeline.look.report.panels import PanelFolders, ScoredCase, panels
from fve_pipeline.look.report.scores import scores_section
from fve_pipeline.metrics import bootstrap_mean
from fve_pipeline.store.reader import open_store

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


def test_a_store_without_recipes_still_names_its_cases(tmp_path: Path) -> None:
    maker.build(LocalFiles(tmp_path / "s.zarr"), maker.plan({"a": 2, "b": 2}), maker.settings())
    known = KnownCases.of(open_store(tmp_path / "s.zarr"))
    found = known.of_case("a")
    assert found is not None
    assert (found.dataset, found.window) == ("made", None)
    assert known.of_case("made/b/labels") == known.of_case("b")


def test_what_scores_lack_is_the_stores() -> None:
    known = KnownCases(
        {"ct_01": KnownCase("amos", "CT", "lung"), "amos/ct_01": KnownCase("amos", "CT", "lung")}
    )
    bare = [
        {"case": "ct_01/image", "dataset": "", "modality": ""},
        {"case": "x", "dataset": "", "modality": ""},
    ]
    assert [row["dataset"] for row in known.filled(bare)] == ["amos", ""]
    said = known.filled([{"case": "ct_01", "dataset": "mine", "modality": ""}])[0]
    assert (said["dataset"], said["modality"]) == ("mine", "CT")  # what the scores say stays
    rows = [{"case": "ct_01", "dsc": 0.4}, {"case": "ct_01", "dsc": 0.4, "class_id": 3}]
    table = pa.Table.from_pylist([dict.fromkeys(SCHEMA.names) | row for row in rows], schema=SCHEMA)
    page = scores_section(table, {("amos", 3): "liver"}, None, known)
    assert "liver" in page
    assert "CT (1)" in page


@pytest.mark.parametrize(
    ("modality", "window", "told", "grey"),
    [
        ("CT", "lung", "window lung", 162),
        ("", None, "window soft_tissue", 128),
        ("CT", None, "soft_tissue", 128),
    ],
)
def test_ct_is_shown_in_its_window_with_what_was_scored(
    modality: str, window: str | None, told: str, grey: int, tmp_path: Path
) -> None:
    image = np.full((2, 32, 32), 40, np.int16)
    image[:, :4] = -1000
    truth = np.zeros((2, 32, 32), np.uint8)
    truth[0, 8:16, 8:16], truth[0, 20:28, 8:16] = 1, 2
    for name, array in (("images", image), ("truth", truth), ("pred", np.where(truth == 1, truth, 0))):
        (tmp_path / name).mkdir()
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / name / "ct.nii.gz"))
    folders = PanelFolders(tmp_path / "pred", tmp_path / "truth", tmp_path / "images")
    page = panels([ScoredCase("ct", 0.5, modality, window, frozenset({1}))], folders)
    assert told in page
    data = re.search(r"base64,([^\"]+)", page)
    assert data is not None
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(data[1]), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert int(picture[200, 20, 0]) == pytest.approx(grey, abs=3)
    truth_panel = picture[:, 256:512].astype(int)
    coloured = truth_panel.max(axis=2) - truth_panel.min(axis=2) > 60
    assert coloured[60:132, 60:132].any()
    assert not coloured[150:].any()  # the class that was not scored is not drawn


def test_logarithmic_axes_say_so_and_a_content_id_is_whole() -> None:
    assert bubbles([(1.0, 2.0), (3.0, 4.0)], ("mm", "mm z"), "Spacing").count("(log)") == 2
    assert '<dd class="whole">0123456789abcdef</dd>' in facts([("content id", "0123456789abcdef")])
