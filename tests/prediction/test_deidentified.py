"""Nothing personal of a DICOM header is in any byte that the road from files to predictions leaves behind."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pydicom
import pytest
from command import run
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage
from rtstruct_maker import write_rtstruct
from volume_make import write_seg, write_series

SHAPE = (4, 20, 24)
HEIGHTS = [2.5 * n for n in range(4)]
CATALOG = """\
name = "{name}"
modality = "{modality}"
window = "{window}"
licence = "mine"
citation = "mine"
classes = [{{ id = 1, name = "heart", structures = ["cor"], prompts = ["heart in CT"] }}]
[layout]
images = "{{case}}/{{series}}/"
images_of = "{image}"
labels = "{{case}}/"
labels_of = "{labels}"
case = "{{case}}"
"""
SETS = {
    "drawn": ("CT", "soft_tissue", "CT", "RTSTRUCT"),
    "coded": ("CT", "soft_tissue", "CT", "SEG"),
    "pet": ("PET", "suv_0-10", "PT", "SEG"),
}


def scan(folder: Path, uid: str, modality: str = "CT", **tags: Any) -> None:
    pixels = np.random.default_rng(1).integers(900, 1200, SHAPE).astype(np.int16)
    write_series(
        folder, pixels, [(-20.0, -30.0, z) for z in HEIGHTS], uid=uid, modality=modality,
        FrameOfReferenceUID="1.2.3", **tags,
    )  # fmt: skip
    report = pydicom.dcmread(folder / "s000.dcm")  # an SR that some archives keep beside the slices
    for tag in ("PixelData", "Rows", "Columns", "ImagePositionPatient"):
        delattr(report, tag)
    report.Modality, report.SOPClassUID, report.SeriesInstanceUID = "SR", ComprehensiveSRStorage, f"{uid}.77"
    said = Dataset()
    said.ValueType, said.TextValue = "TEXT", f"{planted.NAME} has a nodule"
    report.ContentSequence = [said]
    report.save_as(folder / "report.dcm")


def outline(z: float) -> np.ndarray:
    return np.array([(-14.2, -25.0, z), (-12.0, -25.0, z), (-12.0, -20.0, z), (-14.2, -20.0, z)])


def segmented(path: Path, label: str = "cor") -> None:
    mask = np.zeros(SHAPE[1:], bool)
    mask[5:12, 6:15] = True
    path.parent.mkdir(parents=True)
    write_seg(path, [(1, mask, (-20.0, -30.0, z)) for z in HEIGHTS], [1])
    data = pydicom.dcmread(path)
    data.SegmentSequence[0].SegmentLabel = label
    referred = Dataset()
    referred.SeriesInstanceUID = f"1.2.{path.parts[-3]}"
    data.ReferencedSeriesSequence = [referred]
    data.save_as(path)


def hospital(root: Path) -> None:
    """In each set a case to build and cases that fail, each in a way of its own."""
    contours = [outline(z) for z in HEIGHTS]
    for case in ("1", "2", "3", "4"):
        scan(root / "drawn" / case / "ct", f"1.2.{case}")
        drawn = contours if case != "3" else [points + 900 for points in contours]
        names = {"1": "cor", "2": f"{planted.NAME} her heart", "3": "cor", "4": "cor"}
        structures = {names[case]: drawn, f"{planted.NAME}-2": contours}
        write_rtstruct(root / "drawn" / case / "rs" / "1.dcm", structures, series=f"1.2.{case}")
        scan(root / "coded" / case / "ct", f"1.2.{case}")
        segmented(root / "coded" / case / "seg" / "1.dcm", names[case])
        pet: dict[str, Any] = {"Units": "GML", "SeriesDate": "20030323", "slope": 0.01, "intercept": 0.0}
        pet |= {} if case == "1" else {"Units": "BQML", "PatientWeight": "41.789"}
        scan(root / "pet" / case / "pt", f"1.2.{case}", "PT", **pet)
        segmented(root / "pet" / case / "seg" / "1.dcm")
    assert planted.plant_below(root) == 12 * 6
    for name in SETS:
        damaged = root / name / "4" / ("pt" if name == "pet" else "ct") / "s003.dcm"
        damaged.write_bytes(damaged.read_bytes()[:-300])
    cut = root / "coded" / "3" / "seg" / "1.dcm"
    cut.write_bytes(cut.read_bytes()[:-700])


def test_planted_names_are_in_no_byte(
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    root, left = tmp_path / "hospital", tmp_path / "left"
    hospital(root)
    catalogs = []
    left.mkdir()
    for name, (modality, window, image, labels) in SETS.items():
        text = CATALOG.format(name=name, modality=modality, window=window, image=image, labels=labels)
        catalogs.append(left / f"{name}.toml")
        catalogs[-1].write_text(text)
    roots = [word for name in SETS for word in ("--root", f"{name}={root / name}")]
    (left / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(left / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    out = left / "slices.zarr"
    heard = ""

    def fve(expected: int, *words: object) -> None:
        nonlocal heard
        assert run(monkeypatch, *words) == expected, capfd.readouterr()
        heard += "".join(capfd.readouterr())

    for catalog, one in zip(catalogs, SETS, strict=True):
        fve(1, "catalogs", "check", catalog, "--root", root / one)
    fve(2, "catalogs", "from-folder", root / "coded" / "1", "--out", left / "draft.toml")
    build = ("build", *catalogs, *roots, "--out", out, "--work", left / "work", "--size", 32)
    fve(1, *build, "--workers", 1, "--memory", "4GB")
    assert "no structure is called 'cor'" in heard
    assert "outside the image" in heard
    fve(0, "info", out, "--json")
    fve(0, "verify", out)
    fve(0, "report", out, "--out", left / "report.html", *roots)
    for form in ("nifti", "nnunet", "challenge-npz", "reference-png"):
        fve(0, "export", out, "--to", form, "--out", left / form)
    fve(0, "export", out, "--to", "croissant", "--out", left / "croissant.json")
    ask = ("--weights", weights, "--prompts", "heart in CT")
    ct = ("--modality", "CT", "--window", "soft_tissue")
    fve(1, "predict", root / "drawn", *ask, *ct, "--out", left / "p", "--json")
    fve(1, "predict", root / "pet", "--catalog", catalogs[2], "--weights", weights, "--out", left / "p2")
    back = left / "back"
    form = "seg" if find_spec("highdicom") else "rtstruct"
    fve(1, "predict", root / "drawn", *ask, *ct, "--out", back, "--to", form)
    written = sorted(back.rglob("*.dcm"))
    assert len(written) == 3
    for path in written:  # the one kind of file that is to say who the patient is
        assert planted.NAME.encode() in path.read_bytes()
        path.unlink()

    assert planted.found_in(left, heard + caplog.text) == []
    assert sorted(path.name for path in (left / "nifti").glob("*/*") if path.is_dir()) == ["1", "1", "1"]
    assert planted.found_in(root / "drawn", "")  # the search does find
