"""Scores of the challenge's own layout: ``gts`` without prompts, images with prompts and spacing beside them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command import run

from fve_pipeline import evaluation as ev
from fve_pipeline.errors import EvaluationError

CHALLENGE = ev.ScoreSettings("challenge", allow_pickle=True)
SPACING = np.array([0.8, 0.8, 5.0])  # x, y, z


def nuclei(count: int) -> np.ndarray:
    """Boxes of 2 × 2 × 2 voxels, two apart, numbered from 1."""
    labels = np.zeros((4, 68, 68), np.uint8)
    for i in range(count):
        y, x = divmod(i, 17)
        labels[1:3, 4 * y : 4 * y + 2, 4 * x : 4 * x + 2] = i + 1
    return labels


def organs() -> np.ndarray:
    labels = np.zeros((8, 20, 24), np.uint8)
    labels[2:6, 4:14, 5:15], labels[2:4, 15:19, 18:22] = 1, 2
    return labels


@pytest.fixture
def challenge(tmp_path: Path) -> Path:
    """A folder of each kind, as it is downloaded: a CT with two classes, and a microscopy of 255 nuclei."""
    prompts = {
        "CT_A_1": ({"1": "liver in CT", "2": "spleen in CT", "instance_label": 0}, organs()),
        "Microscopy_B_1": ({"1": "nuclei in microscopy", "instance_label": 1}, nuclei(255)),
    }
    for folder in ("3D_val_npz", "3D_val_gt", "segs"):
        (tmp_path / folder).mkdir()
    for name, (said, truth) in prompts.items():
        np.savez_compressed(
            tmp_path / "3D_val_npz" / f"{name}.npz", imgs=truth, spacing=SPACING, text_prompts=said
        )
        np.savez_compressed(tmp_path / "3D_val_gt" / f"{name}.npz", gts=truth, spacing=SPACING)
        pred = np.roll(truth, 1, axis=0) if name.startswith("CT") else (truth > 0).astype(np.uint8) * 1
        np.savez_compressed(tmp_path / "segs" / f"{name}.npz", segs=pred)
    return tmp_path


def scored(root: Path, settings: ev.ScoreSettings, images: Path | None = None) -> ev.Evaluation:
    pairs, missing = ev.match_folders(root / "segs", root / "3D_val_gt", images=images)
    return ev.evaluate(pairs, settings, missing=missing)


@pytest.mark.parametrize("given", [False, True], ids=["found", "given"])
def test_one_run_scores_a_mixed_set_by_each_images_prompts(challenge: Path, given: bool) -> None:
    images = None
    if given:
        images = (challenge / "3D_val_npz").rename(challenge / "elsewhere")
    found = scored(challenge, CHALLENGE, images)
    assert found.failures == ()
    rows = {(row["case"], row["class_id"]): row for row in found.rows}
    assert list(rows) == [("CT_A_1", 1), ("CT_A_1", 2), ("CT_A_1", None), ("Microscopy_B_1", None)]
    assert rows["Microscopy_B_1", None]["truth_instances"] == 255
    assert rows["Microscopy_B_1", None]["dsc"] is None
    assert rows["CT_A_1", 1]["nsd"] == 1.0  # one voxel along z, which the challenge takes for 0.8 mm


def test_the_images_spacing_is_the_cases(challenge: Path) -> None:
    truth = challenge / "3D_val_gt" / "CT_A_1.npz"
    np.savez_compressed(truth, gts=organs())
    with_image = scored(challenge, ev.ScoreSettings(allow_pickle=True)).rows
    np.savez_compressed(truth, gts=organs(), spacing=SPACING)
    np.testing.assert_equal(scored(challenge, ev.ScoreSettings(allow_pickle=True)).rows, with_image)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (ev.ScoreSettings("challenge"), "--allow-pickle"),
        (CHALLENGE, "--images"),
    ],
)
def test_the_challenges_convention_scores_nothing_without_prompts(
    challenge: Path, settings: ev.ScoreSettings, text: str
) -> None:
    (challenge / "3D_val_npz").rename(challenge / "elsewhere")
    found = scored(challenge, settings)
    assert found.rows == ()
    assert {one.case for one in found.failures} == {"CT_A_1", "Microscopy_B_1"}
    assert all(text in one.what for one in found.failures)


def test_an_image_without_prompts_is_named(challenge: Path) -> None:
    image = challenge / "3D_val_npz" / "CT_A_1.npz"
    np.savez_compressed(image, imgs=organs(), spacing=SPACING)
    found = scored(challenge, CHALLENGE)
    assert [one.case for one in found.failures] == ["CT_A_1"]
    assert str(image) in found.failures[0].what


def test_physical_scores_without_prompts_and_says_so(
    challenge: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (challenge / "3D_val_npz").rename(challenge / "elsewhere")
    args = [challenge / "segs", challenge / "3D_val_gt", "--allow-pickle", "--workers", 1, "--json"]
    assert run(monkeypatch, "evaluate", *args, "--out", challenge / "s.parquet") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["cases"] == 2
    assert "2 cases without text_prompts" in " ".join(printed.err.split())


def test_a_command_of_the_tutorial(
    challenge: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "tutorials" / "challenge.md"
    (line,) = (line for line in page.read_text().splitlines() if line.startswith("fve evaluate"))
    (challenge / "segs").rename(challenge / "outputs")
    (challenge / "outputs" / "runtimes.csv").write_text("case,seconds\nCT_A_1,1\nMicroscopy_B_1,1\n")
    monkeypatch.chdir(challenge)
    assert run(monkeypatch, *line.split()[1:], "--workers", 1) == 0, capsys.readouterr().err
    assert json.loads((challenge / "scores.json").read_text())["cases"] == 2


def test_two_files_find_their_image(challenge: Path) -> None:
    for images in (None, challenge / "3D_val_npz", challenge / "3D_val_npz" / "CT_A_1.npz"):
        files = challenge / "segs" / "CT_A_1.npz", challenge / "3D_val_gt" / "CT_A_1.npz"
        (pair,), _ = ev.match_folders(*files, images=images)
        assert pair.image == challenge / "3D_val_npz" / "CT_A_1.npz"


@pytest.mark.parametrize(
    ("truths", "images"),
    [("test/gts", "test/imgs"), ("3D_val_gt/3D_val_gt_text_seg", "3D_val_npz"), ("a_gts", "a_npz")],
)
def test_images_are_found_beside_their_truths(tmp_path: Path, truths: str, images: str) -> None:
    (tmp_path / truths).mkdir(parents=True)
    assert ev.images_beside(tmp_path / truths) is None
    (tmp_path / images).mkdir()
    assert ev.images_beside(tmp_path / truths) == tmp_path / images


def test_a_folder_of_images_that_is_not_there_is_named(challenge: Path) -> None:
    with pytest.raises(EvaluationError, match="nowhere"):
        scored(challenge, CHALLENGE, challenge / "nowhere")


@pytest.mark.parametrize(
    ("truth", "pred", "classes"),
    [
        (np.array([0, 257, 0]), np.array([0, 1, 0]), {1: 1.0}),
        (np.array([0, 1, 0]), np.array([0.2, 1.9, 0.0]), {1: 1.0}),
        (np.array([0, 255, 0]), np.array([0, -1, 0]), {255: 1.0}),
    ],
    ids=["257", "fraction", "negative"],
)
def test_values_are_cast_to_uint8_under_the_challenges_convention(
    tmp_path: Path, truth: np.ndarray, pred: np.ndarray, classes: dict[int, float]
) -> None:
    np.savez(tmp_path / "t.npz", gts=truth.reshape(1, 1, 3).astype(np.int32), spacing=SPACING)
    np.savez(tmp_path / "p.npz", segs=pred.reshape(1, 1, 3))
    pairs, _ = ev.match_folders(tmp_path / "p.npz", tmp_path / "t.npz")
    ids = tuple(range(1, 256))
    official = ev.evaluate(pairs, ev.ScoreSettings("challenge", class_ids=ids))
    assert {row["class_id"]: row["dsc"] for row in official.rows if row["class_id"]} == classes
    physical = ev.evaluate(pairs, ev.ScoreSettings(class_ids=(*ids, 257)))
    assert physical.failures or physical.rows[0]["dsc"] == 0.0


@pytest.mark.parametrize(
    ("truth", "pred", "official", "physical"),
    [
        (np.zeros((1, 2, 4)), np.zeros((1, 2, 4)), 0.0, np.nan),
        (np.array([[[1, 2, 1, 2, 1, 2]]]), np.array([[[1, 2, 1, 2, 1, 2]]]), 0.0, 1.0),
        (np.array([[[0, 257, 0, 2]]]), np.array([[[0, 1, 0, 2]]]), 1.0, 1.0),
        (np.array([[[0, 256, 0, 2]]]), np.array([[[0, 1, 0, 2]]]), 0.6667, 1.0),
    ],
    ids=["nothing", "two-ids", "257", "256-is-background"],
)
def test_quirks_of_instances_reach_the_scores(
    tmp_path: Path, truth: np.ndarray, pred: np.ndarray, official: float, physical: float
) -> None:
    np.savez(tmp_path / "t.npz", gts=truth.astype(np.uint16), spacing=SPACING)
    np.savez(tmp_path / "p.npz", segs=pred.astype(np.uint8))
    pairs, _ = ev.match_folders(tmp_path / "p.npz", tmp_path / "t.npz")
    for convention, expected in (("challenge", official), ("physical", physical)):
        (row,) = ev.evaluate(pairs, ev.ScoreSettings(convention, instances=True)).rows
        np.testing.assert_equal(row["f1"], expected)


def test_what_no_cast_defines_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", gts=np.ones((1, 1, 3), np.uint8), spacing=SPACING)
    np.savez(tmp_path / "p.npz", segs=np.full((1, 1, 3), 1e30))
    pairs, _ = ev.match_folders(tmp_path / "p.npz", tmp_path / "t.npz")
    (failure,) = ev.evaluate(pairs, ev.ScoreSettings("challenge", class_ids=(1,))).failures
    assert "values beyond 64 bits" in failure.what
