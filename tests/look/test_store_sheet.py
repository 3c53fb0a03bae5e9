"""``fve figure sheet``: a store's own contact sheet, and the build that names it."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
import tiny
from typer.testing import CliRunner

from fve_pipeline.cli.main import app
from fve_pipeline.look.store_sheet import write_sheet
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.store.reader import open_store


@pytest.mark.parametrize("storage", ["encoded", "slices"])
def test_a_row_of_slices_for_each_rendition(tmp_path: Path, executor: Executor, storage: str) -> None:
    out = tmp_path / "s.zarr"
    tiny.build(
        tiny.datasets(tiny.write_cohort(tmp_path / "c", 2)),
        out,
        executor,
        settings=tiny.settings(storage=storage),
    )
    result = CliRunner().invoke(
        app, ["figure", "sheet", str(out), "--out", str(tmp_path / "a.png"), "--slices", "3"]
    )
    assert result.exit_code == 0, result.output
    write_sheet(open_store(out), tmp_path / "b.png", 3)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    height, width, _ = cv2.imread(str(tmp_path / "a.png")).shape
    panels = 3 if storage == "encoded" else 1
    assert (height, width) == (
        4 + 2 * (160 + 18 + 4),
        3 * (160 * panels + 8),
    )  # two renditions, three slices each


def test_only_png(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["figure", "sheet", "x.zarr", "--out", str(tmp_path / "a.svg")])
    assert result.exit_code == 2
