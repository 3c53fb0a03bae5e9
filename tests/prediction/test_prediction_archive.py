"""``fve predict --to seg | rtstruct``: label maps of DICOM series as objects that go back to an archive."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from command import run
from volume_make import write_series

from fve_pipeline.runtime.extras import missing_package
from fve_pipeline.volume import Labels, read_image, read_labels
from fve_pipeline.volume.label_file import LabelFile
from fve_pipeline.volume.structures import Structure

ASK = ("--prompts", "9=left kidney", "--prompts", "7=liver in abdominal CT")
CT = ("--modality", "CT", "--window", "soft_tissue")
WANTED = (
    Structure(7, ("liver in abdominal CT",), optional=True),
    Structure(9, ("left kidney",), optional=True),
)


@pytest.fixture
def series(tmp_path: Path, image: np.ndarray) -> Path:
    """Stored from the head down, tilted against the table."""
    axes = np.array([[1, 0, 0], [0, np.cos(0.2), np.sin(0.2)]])
    step = 2.5 * np.cross(axes[0], axes[1])
    return write_series(
        tmp_path / "in" / "study" / "ct",
        image[::-1].astype(np.int16) + 900,
        [tuple(-n * step) for n in range(len(image))],
        orientation=tuple(axes.ravel()),
        StudyInstanceUID="1.2.5",
        FrameOfReferenceUID="1.2.3",
    )


def back(series: Path, path: Path) -> Labels:
    files = [LabelFile(path.name, structures=WANTED)]
    return read_labels(files, path.parent, read_image(series), overlaps=True)


@pytest.mark.parametrize("form", ["seg", "rtstruct"])
def test_what_is_written_for_an_archive_is_what_nifti_holds(
    form: str,
    tmp_path: Path,
    series: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("highdicom" if form == "seg" else "contourpy")
    (tmp_path / "in" / "other.npz").write_bytes(b"PK no archive")
    np.savez_compressed(tmp_path / "in" / "other.npz", imgs=np.zeros((3, 9, 9), np.uint8), spacing=np.ones(3))
    command = ("predict", tmp_path / "in", "--weights", weights, *ASK, *CT)
    assert run(monkeypatch, *command, "--out", tmp_path / "nifti") == 0
    out = tmp_path / form
    capsys.readouterr()
    assert run(monkeypatch, *command, "--out", out, "--to", form) == 1
    said = "".join("".join(capsys.readouterr()).split())
    assert "carriesthepatient'sidentity" in said
    assert f"noDICOMseries,and{form}.dcmreferstoone" in said  # wherever lines were broken
    written = out / "study" / f"ct.{form}.dcm"
    labels = back(series, written)
    expected = read_image(tmp_path / "nifti" / "study" / "ct.nii.gz").array
    assert expected.any()
    np.testing.assert_array_equal(labels.array, expected)

    data = pydicom.dcmread(written)
    assert (str(data.PatientName), data.StudyInstanceUID) == ("Doe^Jane", "1.2.5")
    for other in out.rglob("*"):
        if other.is_file() and other != written:
            assert not any(word in other.read_bytes() for word in (b"Doe", b"SECRET-4711", b"1.2.3.4"))
    assert json.loads((out / "study" / "ct.json").read_text())["labels"] == written.name

    assert run(monkeypatch, *command, "--out", out, "--to", form) == 1
    assert pydicom.dcmread(written).SOPInstanceUID == data.SOPInstanceUID  # done before
    written.unlink()
    assert run(monkeypatch, *command, "--out", out, "--to", form) == 1
    assert pydicom.dcmread(written).SOPInstanceUID != data.SOPInstanceUID  # a new object
    assert run(monkeypatch, *command, "--out", out) == 0
    assert (out / "study" / "ct.nii.gz").is_file()


@pytest.mark.parametrize("form", ["seg", "rtstruct"])
def test_kept_classes_overlap_as_they_were_found(
    form: str, tmp_path: Path, series: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("highdicom" if form == "seg" else "contourpy")
    command = ("predict", series, "--weights", weights, *ASK, *CT, "--overlaps", "keep")
    assert run(monkeypatch, *command, "--out", tmp_path / "files") == 0
    assert run(monkeypatch, *command, "--out", tmp_path / form, "--to", form) == 0
    labels = back(series, tmp_path / form / f"ct.{form}.dcm")
    files = sorted((tmp_path / "files" / "ct_classes").iterdir())
    masks = [read_image(file).array > 0 for file in files]
    assert (masks[0] & masks[1]).any()
    for number, mask in zip((7, 9), masks, strict=True):
        np.testing.assert_array_equal(labels.where(number), mask)
    assert not (tmp_path / form / "ct_classes").exists()
    assert run(monkeypatch, *command[:-1], "layers", "--out", tmp_path / "no", "--to", form) == 2

    # What is missing of the files is written anew.
    expected = files[1].read_bytes()
    files[1].unlink()
    assert run(monkeypatch, *command, "--out", tmp_path / "files") == 0
    assert files[1].read_bytes() == expected


def test_instances_are_segments(
    tmp_path: Path, series: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("highdicom")
    for file in sorted(series.iterdir())[3:]:
        file.unlink()
    command = (
        "predict",
        series,
        "--weights",
        weights,
        "--prompts",
        "vessel",
        *CT,
        "--instances",
        "split",
        "--out",
    )
    assert run(monkeypatch, *command, tmp_path / "nifti") == 0
    assert run(monkeypatch, *command, tmp_path / "seg", "--to", "seg") == 0
    data = pydicom.dcmread(tmp_path / "seg" / "ct.seg.dcm")
    instances = read_image(tmp_path / "nifti" / "ct.nii.gz").array
    assert [one.SegmentLabel for one in data.SegmentSequence] == [
        f"vessel {n}" for n in range(1, instances.max() + 1)
    ]
    numbers = read_labels([LabelFile("ct.seg.dcm")], tmp_path / "seg", read_image(series))
    np.testing.assert_array_equal(numbers.array, instances)


def test_a_missing_package_is_named_before_anything_is_predicted(
    tmp_path: Path,
    series: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    out = tmp_path / "out"
    assert (
        run(monkeypatch, "predict", series, "--weights", weights, *ASK, *CT, "--out", out, "--to", "seg") == 2
    )
    assert "pip install 'fve-pipeline[dicom]'" in " ".join(capsys.readouterr().err.split())
    assert not out.exists()
    monkeypatch.setattr(sys, "version_info", type("V", (tuple,), {"major": 3, "minor": 14})((3, 14, 0)))
    said = missing_package(ModuleNotFoundError(name="highdicom"))
    assert said is not None
    assert said.endswith("on Python up to 3.13; this is 3.14, for which it is not to be had")
