"""Figures of a store from the command line."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from fve_pipeline.cli.main import app
from fve_pipeline.look.figures import draw_explanation
from fve_pipeline.look.store_figures import draw_classes, draw_views
from fve_pipeline.store.reader import open_store

pytest.importorskip("matplotlib")


def fve(*words: str) -> str:
    result = CliRunner().invoke(app, ["figure", *words], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("which", ["views", "classes", "encode"])
def test_the_same_store_gives_the_same_svg(both_stores: Path, tmp_path: Path, which: str) -> None:
    for name in ("a.svg", "b.svg"):
        fve(which, str(both_stores / "slices.zarr"), "--out", str(tmp_path / name))
    first, second = ((tmp_path / name).read_bytes() for name in ("a.svg", "b.svg"))
    assert first == second
    assert ElementTree.fromstring(first).tag.endswith("svg")


def test_encoded_pictures_are_equal_from_either_storage(both_stores: Path, tmp_path: Path) -> None:
    pictures = []
    for storage in ("encoded", "slices"):
        out = tmp_path / f"{storage}.png"
        fve(
            "encode",
            str(both_stores / f"{storage}.zarr"),
            "--order",
            "2",
            "--rendition",
            "lung",
            "--out",
            str(out),
        )
        pictures.append(cv2.imread(str(out)))
    assert np.array_equal(*pictures)
    assert pictures[0].std() > 10


def test_allocation_needs_no_store(tmp_path: Path) -> None:
    assert str(tmp_path / "x.png") in fve("allocation", "--orders", "2", "--out", str(tmp_path / "x.png"))
    assert cv2.imread(str(tmp_path / "x.png")).std() > 10


def test_what_the_bars_say(both_stores: Path) -> None:
    store = open_store(both_stores / "encoded.zarr")
    panel = draw_classes(store).axes[0]
    written = {text.get_text() for text in panel.texts}
    lists = store.index.column("class_ids").to_pylist()
    for class_id in (1, 2, 9):
        assert f"{sum(class_id in ids for ids in lists):,}" in written
    assert [label.get_text() for label in draw_classes(store, 1).axes[0].get_yticklabels()] != []
    assert draw_classes(store, 1).axes[0].get_title() == "the 1 rarest of 3 classes"
    bars = draw_views(store).axes[0]
    assert sum(patch.get_width() for patch in bars.patches) == len(store)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--case", "nobody"], "has no case 'nobody'"),
        (["--rendition", "bone"], "it has soft_tissue axial, lung axial"),
        (["--slice", "99"], "there are slices 0 to"),
        (["--out", "x.bmp"], "none of .svg, .pdf, .png"),
    ],
)
def test_usage_errors(both_stores: Path, words: list[str], said: str) -> None:
    command = ["figure", "encode", str(both_stores / "encoded.zarr"), *words]
    result = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert said in f"{result.output}{result.exception}"
    assert result.exit_code != 0


def test_figures_say_what_they_show(both_stores: Path) -> None:
    store = open_store(both_stores / "encoded.zarr")
    panel = draw_classes(store).axes[0]
    assert panel.get_xscale() == "log"
    assert "log scale" in panel.get_xlabel()
    assert not panel.patches  # a bar's length means nothing on a logarithm
    figure = draw_explanation(
        store.read_slices(0, 4), 1, 1, title="tiny/c00, lung, axial slice 1", view="axial"
    )
    assert figure.get_suptitle() == "tiny/c00, lung, axial slice 1"
    written = {text.get_text() for part in figure.subfigs for axes in part.axes for text in axes.texts}
    assert written == {"to left →", "← to posterior"}
