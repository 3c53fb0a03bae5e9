"""``fve predict`` from files to files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
import SimpleITK as sitk
import tiny
from command import run

from fve_pipeline.build.cases import find_jobs
from fve_pipeline.build.prepare.case import prepare_case
from fve_pipeline.build.prepare.facts import CaseFacts
from fve_pipeline.build.prepare.job import PrepareSettings
from fve_pipeline.build.prepare.journal import Journal
from fve_pipeline.catalog import load_catalog
from fve_pipeline.errors import PredictionError
from fve_pipeline.prediction.sources import find_sources
from fve_pipeline.segmenter.checkpoint import open_segmenter, save_weights
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.segmenter.trained_on import TrainedCase, TrainedOn
from fve_pipeline.volume import read_image
from fve_pipeline.volume.sources import hash_files

ASK = ("--prompts", "liver in abdominal CT", "--prompts", "9=spleen")
CT = ("--modality", "CT", "--window", "soft_tissue")
AFFINE = np.array([[0, 0, -2.5, 10], [-0.75, 0, 0, 20], [0, 0.75, 0, -30], [0, 0, 0, 1.0]])


def save_nifti(path: Path, image: np.ndarray) -> Path:
    """Sagittal, as a file may be: i runs to the front, j up, k to the right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image((image.astype(np.int16) - 100).transpose(1, 2, 0), AFFINE), path)
    return path


def save_npz(path: Path, image: np.ndarray, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, imgs=image, spacing=np.array([0.75, 0.75, 2.5]), **more)
    return path


def test_each_kind_of_file_gets_its_label_map(
    tmp_path: Path, image: np.ndarray, weights: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path
) -> None:
    inputs, out = tmp_path / "in", tmp_path / "out"
    nifti = save_nifti(inputs / "a" / "scan.nii", image)
    save_npz(inputs / "b.npz", image)
    grey = sitk.GetImageFromArray(image.astype(np.int16))
    grey.SetSpacing((0.75, 0.75, 2.5))
    sitk.WriteImage(grey, str(inputs / "c.nrrd"))
    os.symlink(shared_data / "dicom_gapped_seg" / "ct-3slice", inputs / "d")
    code = run(
        monkeypatch, "predict", inputs, "--weights", weights, "--out", out, "--seed", 3, "--json", *ASK, *CT
    )
    assert code == 0
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    labels = ["a/scan.nii.gz", "b.npz", "c.nrrd"]
    assert set(files) >= {*labels, "a/scan.json", "b.json", "c.json", "runtimes.csv"}
    assert not any("part" in name for name in files)

    written = nibabel.load(out / "a" / "scan.nii.gz")
    np.testing.assert_allclose(written.affine, nibabel.load(nifti).affine, atol=1e-5)
    assert written.shape == nibabel.load(nifti).shape
    with np.load(out / "b.npz") as archive:
        segs = archive["segs"]
    assert (segs.shape, segs.dtype) == (image.shape, np.uint8)
    assert set(np.unique(segs)) <= {0, 1, 9}
    # The same voxels in two kinds of file: npz says 0..255 already, NRRD goes through the window.
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(out / "c.nrrd"))).shape == image.shape

    report = json.loads((out / "b.json").read_text())
    liver, spleen = report["classes"]
    assert (liver["id"], spleen["id"]) == (1, 9)
    for found in (liver, spleen):
        mask = segs == found["id"]
        assert found["voxels"] == mask.sum()
        assert found["volume_ml"] == pytest.approx(mask.sum() * 0.75 * 0.75 * 2.5 / 1000, abs=1e-3)
        slices = {z for a, b in found["views"]["axial"]["slices"] for z in range(a, b + 1)}
        assert slices == set(np.flatnonzero(mask.any((1, 2))).tolist())
        assert len(found["views"]["axial"]["presence"]) == len(image)
    first, *rest = (out / "runtimes.csv").read_text().splitlines()
    assert first == "case,seconds,classes"
    assert sorted(line.split(",")[0] for line in rest) == ["a/scan", "b", "c", "d"]
    assert all(line.endswith(",2") for line in rest)


def test_a_prepared_store_gives_what_its_files_give(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tiny.write_cohort(tmp_path / "root", 1)
    catalog, work = root / "tiny.toml", tmp_path / "work"
    with Journal(work / "journal") as journal:
        for job in find_jobs(tiny.datasets(root), work, PrepareSettings()):
            facts = prepare_case(job)
            assert isinstance(facts, CaseFacts)
            journal.add(facts)
    ask = ("--catalog", catalog, "--rendition", "soft_tissue", "--weights", weights)
    assert run(monkeypatch, "predict", work, "--out", tmp_path / "a", *ask) == 0
    assert run(monkeypatch, "predict", root / "c00_ct.nii.gz", "--out", tmp_path / "b", *ask) == 0
    assert run(monkeypatch, "predict", root, "--out", tmp_path / "whole", *ask) == 0
    # The catalog tells images from label maps.
    assert [path.name for path in (tmp_path / "whole").glob("*.nii.gz")] == ["c00_ct.nii.gz"]
    prepared = read_image(tmp_path / "a" / "tiny" / "c00.nii.gz")
    file = read_image(tmp_path / "b" / "c00_ct.nii.gz")
    np.testing.assert_array_equal(prepared.array, file.array)
    np.testing.assert_allclose(prepared.affine, file.affine, atol=1e-5)
    assert file.array.any()
    capsys.readouterr()
    assert run(monkeypatch, "predict", work, "--out", tmp_path / "c", "--weights", weights, *ASK) == 2
    assert "prepared as soft_tissue, lung" in " ".join(capsys.readouterr().err.split())


def test_a_case_that_was_trained_on_is_told_scored_and_not_compared(
    tmp_path: Path,
    image: np.ndarray,
    model_of: Callable[..., Segmenter],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("seen", "new"):
        (tmp_path / name).mkdir()
        picture = image if name == "seen" else image[::-1]
        np.savez_compressed(tmp_path / name / f"{name}.npz", imgs=picture, spacing=np.ones(3))
        np.savez_compressed(
            tmp_path / f"gts_{name}.npz", gts=(picture > 150).astype(np.uint8), spacing=np.ones(3)
        )
    seen = hash_files([tmp_path / "seen" / "seen.npz"])
    learnt = TrainedOn.of([TrainedCase("made/seen", "anna", seen)], [])
    save_weights(
        tmp_path / "w.pt",
        model_of(),
        {"order": 1, "boundary": "repeat", "resize": "opencv", "size": 64},
        learnt,
    )
    ask = ("--weights", tmp_path / "w.pt", "--prompts", "1=liver", "--modality", "CT")
    for name in ("seen", "new"):
        assert run(monkeypatch, "predict", tmp_path / name, "--out", tmp_path / f"out_{name}", *ask) == 0
        assert ("trained on this image" in " ".join(capsys.readouterr().err.split())) == (name == "seen")
        pair = (tmp_path / f"out_{name}" / f"{name}.npz", tmp_path / f"gts_{name}.npz")
        for model in "ab":
            assert run(monkeypatch, "evaluate", *pair, "--out", tmp_path / f"{name}_{model}.parquet") == 0
        assert set(pq.read_table(tmp_path / f"{name}_a.parquet").column("seen_in_training").to_pylist()) == {
            name == "seen"
        }
    assert run(monkeypatch, "compare", *(tmp_path / f"new_{model}.parquet" for model in "ab")) == 0
    both = [tmp_path / f"seen_{model}.parquet" for model in "ab"]
    assert run(monkeypatch, "compare", *both) == 2
    assert "was trained on 1 of these cases, such as gts_seen" in " ".join(capsys.readouterr().err.split())
    assert run(monkeypatch, "compare", *both, "--allow-seen") == 0


def test_again_does_what_is_missing_and_bad_inputs_are_named(
    tmp_path: Path,
    image: np.ndarray,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    inputs, out = tmp_path / "in", tmp_path / "in" / "out"
    for name in ("a", "b"):
        save_npz(inputs / f"{name}.npz", image)
    (inputs / "bad.nii.gz").write_bytes(save_nifti(tmp_path / "x.nii.gz", image).read_bytes()[:500])
    command = ("predict", inputs, "--weights", weights, "--out", out, *CT, *ASK)
    assert run(monkeypatch, *command) == 1
    assert "failed: bad: bad.nii.gz: " in " ".join(capsys.readouterr().err.split())
    assert not list(out.glob("*bad*"))
    before = {path: path.stat().st_mtime_ns for path in out.glob("?.npz")}
    content = (out / "b.npz").read_bytes()
    (out / "b.npz").unlink()
    (inputs / "bad.nii.gz").unlink()
    assert run(monkeypatch, *command) == 0
    assert (out / "a.npz").stat().st_mtime_ns == before[out / "a.npz"]
    assert (out / "b.npz").read_bytes() == content
    assert run(monkeypatch, *command, "--seed", 1) == 0
    assert (out / "a.npz").stat().st_mtime_ns != before[out / "a.npz"]


def test_prompts_of_the_file_on_the_flag(
    tmp_path: Path,
    image: np.ndarray,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prompts = {"3": "liver", "instance_label": 0}
    save_npz(tmp_path / "in" / "a.npz", image, text_prompts=prompts)
    # Two slices: uint8 segs tell their instances apart.
    save_npz(tmp_path / "in" / "b.npz", image[:2], text_prompts={"1": "cell", "instance_label": 1})
    save_npz(tmp_path / "in" / "c.npz", image)
    command = ("predict", tmp_path / "in", "--weights", weights, "--out", tmp_path / "out")
    assert run(monkeypatch, *command) == 2
    assert "--allow-pickle" in capsys.readouterr().err
    assert run(monkeypatch, *command, "--allow-pickle") == 1
    assert "has no text_prompts" in " ".join(capsys.readouterr().err.split())
    report = json.loads((tmp_path / "out" / "b.json").read_text())
    with np.load(tmp_path / "out" / "b.npz") as archive:
        assert report["classes"][0]["instances"] == archive["segs"].max()


def test_released_weights_write_the_merged_mask_unless_told_to_split(
    tmp_path: Path, image: np.ndarray, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = open_segmenter(weights)
    settings = {"order": 1, "boundary": "mirror", "resize": "released", "size": 64}
    save_weights(tmp_path / "released.pt", model, settings)
    prompts = {"1": "cell", "instance_label": 1}
    source = save_npz(tmp_path / "a.npz", image[:2], text_prompts=prompts)
    highest = {}
    for name, file, more in (
        ("released", tmp_path / "released.pt", ()),
        ("split", tmp_path / "released.pt", ("--instances", "split")),
        ("paper", weights, ()),
        ("merged", weights, ("--instances", "merged")),
    ):
        command = ("predict", source, "--weights", file, "--out", tmp_path / name, "--allow-pickle", *more)
        assert run(monkeypatch, *command) == 0
        with np.load(tmp_path / name / "a.npz") as archive:
            highest[name] = archive["segs"].max()
    assert highest["released"] == highest["merged"] == 1
    assert highest["split"] > 1
    assert highest["paper"] > 1


def test_weights_may_be_a_runs_folder(
    tmp_path: Path, image: np.ndarray, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "best.pt").write_bytes(weights.read_bytes())
    source = save_npz(tmp_path / "a.npz", image[:2])
    for name, given in (("file", weights), ("folder", tmp_path / "run")):
        command = ("predict", source, "--weights", given, "--out", tmp_path / name, *ASK)
        assert run(monkeypatch, *command) == 0
    made = [json.loads((tmp_path / name / "a.json").read_text())["made_by"] for name in ("file", "folder")]
    assert made[0] == made[1]


def test_more_instances_than_uint8_tells_apart_are_written_merged(
    tmp_path: Path,
    image: np.ndarray,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Random weights find more than 255 in thirty slices."""
    image = np.concatenate([image, image[::-1], image])
    source = save_npz(tmp_path / "a.npz", image, text_prompts={"4": "cell", "instance_label": 1})
    command = ("predict", source, "--weights", weights, "--out", tmp_path / "npz", "--allow-pickle")
    assert run(monkeypatch, *command) == 0
    report = json.loads((tmp_path / "npz" / "a.json").read_text())
    assert report["classes"][0]["instances"] > 255
    assert "merged mask is written as 4" in " ".join(capsys.readouterr().err.split())
    assert any("merged mask" in note for note in report["notes"])
    with np.load(tmp_path / "npz" / "a.npz") as archive:
        assert archive["segs"].dtype == np.uint8
        assert np.unique(archive["segs"]).tolist() == [0, 4]
        assert (archive["segs"] > 0).sum() == report["classes"][0]["voxels"]
    nifti = save_nifti(tmp_path / "b.nii", image)
    ask = ("--prompts", "cell", "--instances", "split", "--modality", "MR")
    command = ("predict", nifti, "--weights", weights, "--out", tmp_path / "nifti", *ask)
    assert run(monkeypatch, *command) == 0
    assert read_image(tmp_path / "nifti" / "b.nii.gz").array.max() > 255


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--prompts", "liver"), "does not say its modality"),
        (("--prompts", "liver", "--modality", "CT"), "a CT needs a window"),
        (("--prompts", "liver", "--modality", "CT", "--window", "abdomen"), "unknown window 'abdomen'"),
        (("--prompts", " ", *CT), "class 1 is empty"),
        (("--catalog", "demo_mr", "--prompts", "livre"), "no class 'livre'"),
        (
            ("--catalog", "demo_ct", "--window", "lung"),
            "several renditions (soft_tissue, lung), each with its own",
        ),
        (("--prompts", "liver", "--modality", "XX"), "expected CT, MR, PET"),
        (
            ("--prompts", "liver", "--prompts", "spleen", "--instances", "split", *CT),
            "instances are of one prompt",
        ),
        (("--prompts", "liver", "--device", "tpu9", *CT), "expected cpu or cuda"),
        (("--prompts", "liver", "--flips", "lr", *CT), "expected x, y, z"),
        (("--prompts", "liver", "--views", "oblique", *CT), "expected axial"),
        ((), "say what to look for"),
    ],
)
def test_what_is_lacking_is_said(
    tmp_path: Path,
    image: np.ndarray,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: tuple[str, ...],
    message: str,
) -> None:
    source = save_nifti(tmp_path / "scan.nii", image)
    code = run(monkeypatch, "predict", source, "--weights", weights, "--out", tmp_path / "out", *args)
    assert code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not list((tmp_path / "out").glob("scan*"))


def test_results_never_go_where_the_volumes_are(
    tmp_path: Path,
    image: np.ndarray,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = save_npz(tmp_path / "a.npz", image).read_bytes()
    for source in (tmp_path, tmp_path / "a.npz"):
        assert run(monkeypatch, "predict", source, "--weights", weights, "--out", tmp_path, *ASK) == 2
        assert "written over" in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert (tmp_path / "a.npz").read_bytes() == before


def test_two_volumes_of_one_name_and_none(tmp_path: Path, image: np.ndarray) -> None:
    save_npz(tmp_path / "a.npz", image)
    save_nifti(tmp_path / "a.nii", image)
    with pytest.raises(PredictionError, match="one by name"):
        find_sources([tmp_path])
    (tmp_path / "empty").mkdir()
    with pytest.raises(PredictionError, match="no volume here"):
        find_sources([tmp_path / "empty"])


CATALOG = """\
name = "mine"
modality = "MR"
site = "head"
licence = "made here"
citation = "made here"
classes = [{ id = 1, name = "brain" }]
[layout]
images = "scans/{case}.npz"
labels = "scans/{case}_seg.npz"
"""


def test_a_catalogs_label_maps_are_no_volumes(tmp_path: Path, image: np.ndarray) -> None:
    (tmp_path / "mine.toml").write_text(CATALOG)
    described = load_catalog(str(tmp_path / "mine.toml"))
    for name in ("a", "a_seg", "b"):
        save_npz(tmp_path / "root" / "scans" / f"{name}.npz", image)
    notes: list[str] = []
    found = find_sources([tmp_path / "root"], described, notes.append)
    assert [one.name for one in found] == ["scans/a", "scans/b"]
    assert not notes
    # Elsewhere the catalog fits nothing: all is taken, and said.
    found = find_sources([tmp_path / "root" / "scans"], described, notes.append)
    assert [one.name for one in found] == ["a", "a_seg", "b"]
    assert "not laid out as catalog mine says" in notes[0]


def test_a_damaged_dicom_folder_fails_alone(
    tmp_path: Path,
    image: np.ndarray,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_nifti(tmp_path / "in" / "good" / "scan.nii", image[:2])
    (tmp_path / "in" / "bad").mkdir()
    (tmp_path / "in" / "bad" / "a.dcm").write_bytes(bytes(128) + b"DICM" + bytes(100))
    command = ("predict", tmp_path / "in", "--weights", weights, "--out", tmp_path / "out", *CT, *ASK)
    assert run(monkeypatch, *command) == 1
    assert "failed: bad: " in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "out" / "good" / "scan.nii.gz").is_file()


def test_runtimes_of_earlier_calls_stay(
    tmp_path: Path, image: np.ndarray, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b", "a"):
        source = save_npz(tmp_path / f"{name}.npz", image[:2])
        command = ("predict", source, source, "--weights", weights, "--out", tmp_path / "out", *ASK)
        assert run(monkeypatch, *command) == 0
    lines = (tmp_path / "out" / "runtimes.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["case", "a", "b"]


def test_weights_that_do_not_say_how_slices_were_made(
    tmp_path: Path,
    image: np.ndarray,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, _ = open_segmenter(weights)
    save_weights(tmp_path / "bare.pt", model, {"order": 1, "size": 64})
    save_npz(tmp_path / "a.npz", image)
    code = run(
        monkeypatch,
        "predict",
        tmp_path / "a.npz",
        "--weights",
        tmp_path / "bare.pt",
        "--out",
        tmp_path / "o",
        *ASK,
    )
    assert code == 2
    assert "does not record boundary, resize" in " ".join(capsys.readouterr().err.split())
