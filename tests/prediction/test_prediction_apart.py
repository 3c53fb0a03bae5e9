"""Every class for itself: masks that overlap are written whole, and scored class by class in both forms."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny
from command import run

from fve_pipeline.evaluation.cases import ScoreSettings, score_case
from fve_pipeline.evaluation.pairs import match_folders
from fve_pipeline.volume import read_image

CT = ("--modality", "CT", "--window", "soft_tissue")
PROMPTS = ("3=liver in abdominal CT", "8=spleen in abdominal CT", "9=the whole abdomen")


@pytest.fixture
def volume(tmp_path: Path, image: np.ndarray) -> Path:
    path = tmp_path / "v.nii.gz"
    tiny.write_nifti(path, image)
    return path


Predict = Callable[..., None]


@pytest.fixture
def predict(monkeypatch: pytest.MonkeyPatch, volume: Path, weights: Path) -> Predict:
    def call(out: Path, *options: str) -> None:
        prompts = [part for prompt in PROMPTS for part in ("--prompts", prompt)]
        assert (
            run(monkeypatch, "predict", volume, "--weights", weights, *prompts, *CT, "--out", out, *options)
            == 0
        )

    return call


def test_classes_are_kept_beside_the_merged_map(predict: Predict, tmp_path: Path) -> None:
    for form in ("merge", "keep", "layers"):
        predict(tmp_path / form, "--overlaps", form)
    merged = {form: (tmp_path / form / "v.nii.gz").read_bytes() for form in ("merge", "keep", "layers")}
    assert merged["merge"] == merged["keep"] == merged["layers"]
    files = sorted((tmp_path / "keep" / "v_classes").iterdir())
    assert [file.name[:5] for file in files] == ["00003", "00008", "00009"]
    masks = [read_image(file).array for file in files]
    layers = tmp_path / "layers" / "v_classes.nii.gz"
    for place, mask in enumerate(masks):
        assert np.array_equal(read_image(layers, channel=place).array, mask)
    labels = read_image(tmp_path / "merge" / "v.nii.gz").array
    for mask, number in zip(masks, (3, 8, 9), strict=True):
        assert not ((labels == number) & (mask == 0)).any()  # what the merged map has, the class has
    assert (masks[0] & masks[1] & masks[2]).any()
    assert json.loads((tmp_path / "keep" / "v.json").read_text())["classes_apart"] == "v_classes"


def test_both_forms_have_the_same_scores(
    predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for form in ("keep", "layers"):
        predict(tmp_path / form, "--overlaps", form)
    truth = tmp_path / "truth" / "v_classes"
    first = read_image(tmp_path / "keep" / "v_classes" / "00003_liver_in_abdominal_ct.nii.gz").array
    moved = np.roll(first, 2, axis=2)
    tiny.write_nifti(truth / "00003_liver.nii.gz", moved.astype(np.uint8))
    tiny.write_nifti(truth / "00008_spleen.nii.gz", (moved | np.roll(moved, 3, 1)).astype(np.uint8))
    found = {}
    for form in ("keep", "layers"):
        [pair], _ = match_folders(tmp_path / form, tmp_path / "truth", apart=True)
        scores = score_case(pair, ScoreSettings(apart=True))
        assert scores.error is None
        found[form] = scores.classes
    assert repr(found["keep"]) == repr(found["layers"])  # NaN is as NaN
    by_class = {score.class_id: score for score in found["keep"]}
    assert set(by_class) == {3, 8, 9}
    expected = 2 * (first & moved).sum() / (first.sum() + moved.sum())
    assert by_class[3].dsc == pytest.approx(float(expected), rel=1e-12)
    folders = (tmp_path / "keep", tmp_path / "truth")
    assert run(monkeypatch, "evaluate", *folders, "--overlaps", "--out", tmp_path / "s.parquet") == 0


def test_a_map_is_scored_against_masks(predict: Predict, tmp_path: Path) -> None:
    predict(tmp_path / "out", "--overlaps", "keep")
    tiny.write_nifti(tmp_path / "truth" / "v.nii.gz", read_image(tmp_path / "out" / "v.nii.gz").array)
    [plain], missing = match_folders(tmp_path / "out", tmp_path / "truth")
    assert plain.pred.name == "v.nii.gz"
    assert not missing
    [pair], _ = match_folders(tmp_path / "out", tmp_path / "truth", apart=True)
    assert pair.pred.name == "v_classes"
    assert score_case(pair, ScoreSettings(apart=True)).error is None
    tiny.write_nifti(tmp_path / "out" / "v_classes" / "liver.nii.gz", np.zeros((3, 3, 3), np.uint8))
    assert "begins with its class's id" in str(score_case(pair, ScoreSettings(apart=True)).error)
