"""Catalogs of sets that come as DICOM: miniatures in their published layouts, built into stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import tiny
from command import run
from rtstruct_maker import write_rtstruct
from volume_make import write_seg, write_series

from fve_pipeline.build.cases import Dataset
from fve_pipeline.catalog import discover, file_problems, load_catalog
from fve_pipeline.catalog.load import parse_catalog
from fve_pipeline.errors import CatalogError
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.store.reader import open_store

SHAPE = (6, 20, 24)
HEIGHTS = [2.5 * n for n in range(6)]


def scan(folder: Path, uid: str, modality: str = "CT", **tags: Any) -> Path:
    pixels = np.random.default_rng(1).integers(900, 1200, SHAPE).astype(np.int16)
    positions = [(-20.0, -30.0, z) for z in HEIGHTS]
    return write_series(
        folder, pixels, positions, uid=uid, modality=modality, FrameOfReferenceUID="1.2.3", **tags
    )


def block(top: float, left: float, bottom: float, right: float) -> list[np.ndarray]:
    """A rectangle on four slices, in pixels."""
    corners = np.array([[top, left], [top, right], [bottom, right], [bottom, left]])
    return [
        np.stack([-20 + 0.5 * corners[:, 1], -30 + 0.7 * corners[:, 0], np.full(4, z)], axis=1)
        for z in HEIGHTS[1:5]
    ]


LEFT, RIGHT, SMALL = block(2.5, 1.5, 12.5, 9.5), block(2.5, 12.5, 12.5, 21.5), block(14.5, 2.5, 17.5, 5.5)


def nsclc(root: Path) -> None:
    study = root / "LUNG1-001" / "09-18-2008-StudyID-NA-69331"
    scan(study / "0.000000-NA-82046", "1.2.82046")
    structures = {"GTV-1": SMALL, "Lung-Left": RIGHT, "Lung-Right": LEFT, "Spinal-Cord": SMALL}
    write_rtstruct(study / "3.000000-NA-78236" / "1-1.dcm", structures, series="1.2.82046")
    planes = [(1, np.ones(SHAPE[1:], bool), (-20.0, -30.0, z)) for z in HEIGHTS]
    (study / "300.000000-Segmentation-9.554").mkdir()
    write_seg(study / "300.000000-Segmentation-9.554" / "1-1.dcm", planes, [1])
    (root / "LICENSE").write_text("terms")


def lctsc(root: Path) -> None:
    for case, called in (("Train-S1-001", "Lung_L"), ("Test-S3-104", "Lung L")):
        study = root / f"LCTSC-{case}" / "11-16-2003-NA-RTRCCTTHORAX8FLow Adult-39664"
        scan(study / "0.000000-CTRESPCT-cran-51766", f"1.2.{case[-3:]}")
        structures = {"Esophagus": SMALL, "Heart": SMALL, called: RIGHT, "Lung_R": LEFT, "SpinalCord": SMALL}
        write_rtstruct(study / "1.000000-NA-44010" / "1-1.dcm", structures, series=f"1.2.{case[-3:]}")


def autopet(root: Path) -> None:
    study = root / "PETCT_0011f3deaf" / "03-23-2003-NA-PET-CT Ganzkoerper primaer mit KM-10445"
    scan(study / "2.000000-GK p.v.3-68547", "1.2.68547")
    tags = {"Units": "GML", "SeriesDate": "20030323", "slope": 0.01, "intercept": 0.0}
    scan(study / "12.000000-PET corr.-52880", "1.2.52880", "PT", **tags)
    planes = [(1, np.eye(*SHAPE[1:], dtype=bool), (-20.0, -30.0, z)) for z in HEIGHTS]
    (study / "999.000000-Segmentation-58916").mkdir()
    path = write_seg(study / "999.000000-Segmentation-58916" / "1-1.dcm", planes, [1])
    data = pydicom.dcmread(path)
    referred = pydicom.Dataset()
    referred.SeriesInstanceUID = "1.2.52880"
    data.ReferencedSeriesSequence = [referred]
    data.save_as(path)


def built(make: Any, name: str, root: Path, executor: Executor) -> Any:
    make(root / "data")
    catalog = load_catalog(name)
    cases = discover(catalog, root / "data")
    assert file_problems(catalog, root / "data", cases) == []
    summary = tiny.build(
        [Dataset(catalog, root / "data")], root / "slices.zarr", executor, work=root / "work"
    )
    assert summary.failures == ()
    return open_store(root / "slices.zarr"), cases


def test_nsclc_radiomics(tmp_path: Path, executor: Executor) -> None:
    store, [case] = built(nsclc, "nsclc_radiomics", tmp_path, executor)
    assert (case.name, case.subject) == ("LUNG1-001", "nsclc_radiomics/LUNG1-001")
    assert case.labels[0].path.endswith("3.000000-NA-78236/1-1.dcm")
    [row] = store.cases.to_pylist()
    voxels = dict(zip(row["class_ids"], row["class_voxels"], strict=True))
    assert (voxels[2], voxels[3]) == (4 * 10 * 9, 4 * 10 * 8)
    assert "1-1.dcm" in row["labels"][0]
    absent = [note for note in row["notes"] if "which the case may lack" in note]
    assert len(absent) == 2  # heart and esophagus


def test_lctsc(tmp_path: Path, executor: Executor) -> None:
    store, cases = built(lctsc, "lctsc", tmp_path, executor)
    assert [(case.name, case.split) for case in cases] == [("Test-S3-104", "test"), ("Train-S1-001", "train")]
    assert [max(row["class_voxels"]) for row in store.cases.to_pylist()] == [360, 360]


def test_autopet_as_dicom(tmp_path: Path, executor: Executor) -> None:
    store, [case] = built(autopet, "autopet_dicom", tmp_path, executor)
    assert case.image.endswith("12.000000-PET corr.-52880")
    [row] = store.cases.to_pylist()
    assert row["modality"] == "PET"
    assert row["class_voxels"] == [6 * 20]
    assert "suv_0-20 (SUV 0 to 20)" in row["decision"]
    assert any(note.startswith("SUV (body weight) as the file has it") for note in row["notes"])


CATALOG = """\
name = "mine"
modality = "CT"
licence = "mine"
citation = "mine"
classes = [{ id = 1, name = "heart", structures = ["cor"] }]
[layout]
images = "{case}/{series}/"
images_of = "CT"
labels = "{case}/"
labels_of = "RTSTRUCT"
case = "{case}"
"""


def test_a_case_without_its_structures_or_with_two_sets_fails_alone(
    tmp_path: Path, executor: Executor
) -> None:
    data = tmp_path / "data"
    for case in ("a", "b", "c", "d"):
        scan(data / case / "ct", f"1.2.{ord(case)}")
    write_rtstruct(data / "a" / "rs" / "1.dcm", {"COR": LEFT}, series="1.2.97")
    for number in ("1", "2"):
        write_rtstruct(data / "b" / "rs" / f"{number}.dcm", {"cor": LEFT}, series="1.2.98")
    write_rtstruct(data / "c" / "rs" / "1.dcm", {"cor": LEFT}, series="1.2.9", frame="1.2.77")  # another's
    write_rtstruct(data / "d" / "rs" / "1.dcm", {"Doe^Jane": LEFT}, series="1.2.100")
    catalog = parse_catalog(CATALOG, "mine.toml")
    cases = discover(catalog, data)
    said = [problem.message for problem in file_problems(catalog, data, cases)]
    assert said == [
        "b: looked for the RTSTRUCT of b/ct, and 2 of them refer to it; expected one. Put the right one there, or name "
        "the file in labels",
        "c: looked for the RTSTRUCT of c/ct, and none of them refers to it; expected one. Put the right one there, or "
        "name the file in labels",
    ]
    summary = tiny.build([Dataset(catalog, data)], tmp_path / "s.zarr", executor, work=tmp_path / "work")
    failed = {failure.case: failure.reason for failure in summary.failures}
    assert set(failed) == {"mine/b", "mine/c", "mine/d"}
    assert failed["mine/b"] == said[0]
    assert "no structure is called 'cor'; there are 1" in failed["mine/d"]
    assert "Doe" not in failed["mine/d"]


def test_an_rtstruct_of_another_series_in_the_same_frame_of_reference(tmp_path: Path) -> None:
    """Drawn on the CT of a PET/CT, and taken for the PET."""
    scan(tmp_path / "a" / "pet", "1.2.5")
    write_rtstruct(tmp_path / "a" / "rs.dcm", {"cor": LEFT}, series="1.2.6")
    [case] = discover(parse_catalog(CATALOG, "mine.toml"), tmp_path)
    assert case.labels[0].path == "a/rs.dcm"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('structures = ["cor"]', 'structures_like = "(cor"', "is no regular expression"),
        ('structures = ["cor"]', 'structures = ["cor"], ids = [2, 3]', "structures"),
        ('labels = "{case}/"', 'labels = "{case}/{class}/"', "holds all classes"),
        ('labels_of = "RTSTRUCT"', 'labels_of = "RTDOSE"', "labels_of"),
        ('labels_of = "RTSTRUCT"', "threshold = 2", "threshold"),
    ],
)
def test_wrong_keys_are_named(old: str, new: str, said: str) -> None:
    with pytest.raises(CatalogError, match=said):
        parse_catalog(CATALOG.replace(old, new), "mine.toml")


def test_the_names_in_files_are_listed_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nsclc(tmp_path)
    assert run(monkeypatch, "catalogs", "structures", tmp_path) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("GTV-1", "Lung-Left", "segment 1"))
    assert run(monkeypatch, "catalogs", "structures", tmp_path, "--json") == 0
    assert '"name": "Spinal-Cord"' in capsys.readouterr().out
    (tmp_path / "none").mkdir()
    assert run(monkeypatch, "catalogs", "structures", tmp_path / "none") == 2
