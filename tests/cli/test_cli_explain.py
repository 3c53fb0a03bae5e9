"""fve explain, on made volumes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from fve_pipeline.cli.main import app
from fve_pipeline.demo.cohort import make_challenge_case, make_ct_case

pytest.importorskip("matplotlib")

runner = CliRunner()


def test_a_ct_slice(tmp_path: Path) -> None:
    make_ct_case(tmp_path, 2, size=64)
    out = tmp_path / "figures" / "x.png"
    arguments = [
        "explain",
        str(tmp_path / "image.nii.gz"),
        "--window",
        "soft_tissue",
        "--order",
        "2",
        "--slice",
        "5",
    ]
    result = runner.invoke(app, [*arguments, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "window soft_tissue (width 400, level 40): -160 to 240 becomes 0 to 255, rounded" in result.output
    assert "axial slice 5 of" in result.output
    picture = cv2.imread(str(out))
    assert picture is not None
    assert picture.std() > 10


def test_other_views_of_a_file_of_0_to_255(tmp_path: Path) -> None:
    file = tmp_path / "case.npz"
    make_challenge_case(file, 1, size=64)
    out = tmp_path / "x.png"
    sizes = []
    for view in ("axial", "sagittal"):
        result = runner.invoke(app, ["explain", str(file), "--view", view, "--order", "1", "--out", str(out)])
        assert result.exit_code == 0, result.output
        assert "untouched: the data is uint8" in result.output
        sizes.append(np.asarray(cv2.imread(str(out))).tobytes())
    assert sizes[0] != sizes[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--slice", "999"], "999: the axial view has slices 0 to"),
        (["--view", "oblique"], "none of axial, coronal, sagittal"),
        (["--boundary", "wrap"], "none of repeat, mirror"),
        (["--out", "x.bmp"], "none of .png, .svg, .pdf"),
    ],
)
def test_usage_errors(tmp_path: Path, arguments: list[str], message: str) -> None:
    file = tmp_path / "case.npz"
    make_challenge_case(file, 1, size=64)
    result = runner.invoke(app, ["explain", str(file), *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert message in result.output
