"""Scores with the true sentence beside those with another one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
from command import run


def write(folder: Path, masks: dict[str, np.ndarray]) -> Path:
    for name, mask in masks.items():
        tiny.write_nifti(folder / f"{name}.nii.gz", mask.astype(np.uint8))
    return folder


def test_the_swapped_score_stands_beside_the_true_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left, right = np.zeros((4, 12, 12), bool), np.zeros((4, 12, 12), bool)
    left[1:3, 3:7, 2:5], right[1:3, 3:7, 7:10] = True, True
    truth = write(tmp_path / "truth", {"a": left, "b": right})
    true = write(tmp_path / "true", {"a": left, "b": right})
    swapped = write(tmp_path / "swapped", {"a": right, "b": left | right})
    out = tmp_path / "s.parquet"
    assert (
        run(monkeypatch, "evaluate", true, truth, "--swap", swapped, "--out", out, "--workers", 1, "--json")
        == 0
    )
    found = json.loads(capsys.readouterr().out)["swap"]
    # Of b, half of what was found is right, and all of it was found.
    assert found == {
        "pairs": 2,
        "true": 1.0,
        "swapped": pytest.approx((0 + 2 / 3) / 2),
        "ratio": pytest.approx(3.0),
    }
    assert run(monkeypatch, "evaluate", true, truth, "--swap", swapped, "--out", out, "--workers", 1) == 0
    assert "1.0000 with the true sentence, 0.3333 with another, 3.00 times" in capsys.readouterr().out
