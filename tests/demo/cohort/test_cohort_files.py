"""The cohort as files: real formats, the declared layout, the same bytes each time."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import tifffile

from fve_pipeline.catalog import discover, load_catalog
from fve_pipeline.demo.cohort import make_cohort, make_ct_benchmark_case
from fve_pipeline.volume import read_image, read_labels
from fve_pipeline.volume.label_file import LabelFile

KINDS = ("demo_ct", "demo_ct_dicom", "demo_mr", "demo_npz", "demo_microscopy")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cohort")
    make_cohort(root, cases_per_kind=4, size=64)
    return root


def sums(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_the_same_bytes_for_the_same_seed(cohort: Path, tmp_path: Path) -> None:
    for path in list(cohort.rglob("*.gz")):
        assert path.read_bytes()[4:8] == bytes(4)  # gzip's modification time
    make_cohort(tmp_path / "again", cases_per_kind=4, size=64)
    assert sums(tmp_path / "again") == sums(cohort)
    make_cohort(tmp_path / "other", cases_per_kind=1, size=64, seed=1)
    assert not set(sums(tmp_path / "other").values()) & set(sums(cohort).values())


def test_no_two_subjects_are_alike(cohort: Path) -> None:
    values = list(sums(cohort).values())
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("name", KINDS)
def test_the_shipped_catalog_finds_every_case_and_its_classes(cohort: Path, name: str) -> None:
    catalog = load_catalog(name)
    cases = discover(catalog, cohort)
    assert len(cases) == 4
    for case in cases:
        image = read_image(cohort / case.image, modality=case.modality)
        labels = read_labels(case.labels, cohort, image)
        assert labels.array.shape == image.array.shape
        found = set(np.unique(labels.array)) - {0}
        if name != "demo_microscopy":
            assert found == {spec.id for spec in catalog.classes if spec.id < 20}


def test_ct_is_in_one_place_whatever_its_orientation(cohort: Path) -> None:
    codes = set()
    for case in sorted((cohort / "ct").iterdir()):
        image = read_image(case / "image.nii.gz", modality="CT")
        labels = read_labels((LabelFile(f"ct/{case.name}/labels.nii.gz"),), cohort, image).array
        codes.add("".join(nib.aff2axcodes(nib.load(case / "image.nii.gz").affine)))
        assert not read_labels((LabelFile(f"ct/{case.name}/labels.nii.gz"),), cohort, image).resampled
        assert image.array[labels == 1].mean() == pytest.approx(62, abs=10)
        _, y, x = np.argwhere(labels == 1).mean(axis=0)
        assert x < np.argwhere(labels == 2).mean(axis=0)[2]
        assert y < np.argwhere(labels == 5).mean(axis=0)[1]
    assert codes == {"RAS", "LPS", "PIR", "LAS"}


def test_dicom_is_a_ct_series_with_a_patient(cohort: Path) -> None:
    folder = cohort / "ct_dicom" / "dcm_01"
    files = [pydicom.dcmread(path) for path in sorted((folder / "series").iterdir())]
    assert files[0].PatientName == "Demo^Patient01"
    assert files[0].RescaleIntercept == -1024
    assert len({f.SeriesInstanceUID for f in files}) == 1
    heights = [f.ImagePositionPatient[2] for f in files]
    assert heights != sorted(heights)
    image = read_image(folder / "series", modality="CT")
    labels = read_labels((LabelFile("ct_dicom/dcm_01/labels.nii.gz"),), cohort, image)
    assert image.array[labels.array == 1].mean() == pytest.approx(62, abs=10)
    assert image.array[labels.array == 6].mean() < -700


def test_mr_is_upright_int16_or_oblique_float32(cohort: Path) -> None:
    upright = sitk.ReadImage(str(cohort / "mr" / "mr_01.nrrd"))
    oblique = sitk.ReadImage(str(cohort / "mr" / "mr_02.nrrd"))
    assert upright.GetPixelID() == sitk.sitkInt16
    assert oblique.GetPixelID() == sitk.sitkFloat32
    assert np.allclose(np.reshape(upright.GetDirection(), (3, 3)), np.eye(3))
    assert not np.allclose(np.reshape(oblique.GetDirection(), (3, 3)), np.eye(3), atol=0.05)


def test_challenge_files_keep_spacing_in_x_y_z(cohort: Path) -> None:
    with np.load(cohort / "challenge" / "npz_01.npz") as file:
        assert file["imgs"].dtype == file["gts"].dtype == np.uint8
        assert file["spacing"].tolist() == [1.5, 1.45, 1.5]


def test_microscopy_has_more_instances_than_uint8_holds(cohort: Path) -> None:
    masks = tifffile.imread(cohort / "microscopy" / "mic_01_masks.tif")
    assert masks.dtype == np.uint16
    assert masks.max() == 400
    image = read_image(cohort / "microscopy" / "mic_01.tif", modality="Microscopy")
    assert image.spacing == pytest.approx((0.001, 0.0005, 0.0005))


def test_a_benchmark_case_is_anatomy_too(tmp_path: Path) -> None:
    make_ct_benchmark_case(tmp_path / "one", (20, 128, 128), 3)
    make_ct_benchmark_case(tmp_path / "two", (20, 128, 128), 3)
    assert sums(tmp_path / "one") == sums(tmp_path / "two")
    image = read_image(tmp_path / "one" / "image.nii.gz", modality="CT")
    labels = read_labels((LabelFile("labels.nii.gz"),), tmp_path / "one", image).array
    assert image.array.shape == (20, 128, 128)
    assert image.array.dtype == np.int16
    assert image.array[labels == 1].mean() == pytest.approx(62, abs=10)
