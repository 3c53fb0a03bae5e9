"""Scores of findings, by hand on small masks."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tiny
from command import run
from hypothesis import given
from hypothesis import strategies as st

from fve_pipeline.metrics import FindingScore, ground, score_finding


def line(*runs: tuple[int, int], length: int = 40) -> np.ndarray:
    mask = np.zeros((1, 1, length), np.uint8)
    for start, stop in runs:
        mask[..., start:stop] = 1
    return mask


def test_an_instance_is_found_from_a_dice_of_one_fifth_on() -> None:
    # 1 of 5 and 5 voxels is Dice 0.2, 1 of 5 and 6 is less.
    assert score_finding(line((0, 5)), line((4, 9))) == FindingScore(0.2, 1, 1, 1)
    assert score_finding(line((0, 5)), line((4, 10))).matched == 0


def test_instances_are_matched_one_to_one() -> None:
    both = score_finding(line((0, 4), (6, 10)), line((0, 10)))
    assert (both.truth, both.pred, both.matched) == (2, 1, 1)
    assert both.dice == pytest.approx(16 / 18)
    nothing = score_finding(line(), line())
    assert nothing == FindingScore(1.0, 0, 0, 0)


def test_the_five_numbers() -> None:
    found = ground([FindingScore(0.1, 2, 1, 1), FindingScore(0.09, 1, 3, 0), FindingScore(1.0, 1, 1, 1)])
    assert found.findings == 3
    assert found.dice == pytest.approx(1.19 / 3)
    assert found.hit_rate == pytest.approx(2 / 3)
    assert (found.precision, found.recall) == (2 / 5, 2 / 4)
    assert found.f1 == pytest.approx(2 * 0.4 * 0.5 / 0.9)
    assert all(map(math.isnan, (ground([]).dice, ground([]).precision)))


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.lists(st.booleans(), min_size=30, max_size=30))
def test_what_is_right_is_one_and_scores_are_the_same_both_ways(a: list[bool], b: list[bool]) -> None:
    one, two = np.array(a)[None, None], np.array(b[: len(a)])[None, None]
    same, there, back = score_finding(one, one), score_finding(one, two), score_finding(two, one)
    assert (same.dice, same.matched) == (1.0, same.truth)
    assert (there.dice, there.matched, there.truth) == (back.dice, back.matched, back.pred)


def test_they_are_told_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cube = np.zeros((4, 12, 12), np.uint8)
    cube[1:3, 3:7, 2:5] = 1
    for folder, second in (("truth", np.roll(cube, 5, 2)), ("pred", np.roll(cube, 5, 1))):
        tiny.write_nifti(tmp_path / folder / "a_classes/1.nii.gz", cube)
        tiny.write_nifti(tmp_path / folder / "a_classes/2.nii.gz", second)
    asked = ("evaluate", tmp_path / "pred", tmp_path / "truth", "--out", tmp_path / "s.parquet", "--findings")
    assert run(monkeypatch, *asked) == 2
    assert "give --overlaps too" in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert run(monkeypatch, *asked, "--overlaps", "--workers", 1, "--json") == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    halves = dict.fromkeys(("dice", "hit_rate", "precision", "recall", "f1"), 0.5)
    assert found == {"findings": 2, **halves}
    assert run(monkeypatch, *asked, "--overlaps", "--workers", 1) == 0
    assert (
        "2 findings: Dice 0.5000, hit rate 0.5000; of instances precision 0.5000" in capsys.readouterr().out
    )
