"""A label map lies on its image, whatever order and directions the image's axes have."""

from __future__ import annotations

import os
from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from fve_pipeline.volume import read_image, source_affine, write_labels

SHAPE = (4, 5, 6)
ORDERS = [
    (order, signs) for order in permutations(range(3)) for signs in list(product((1, -1), repeat=3))[::3]
]


def image_array() -> np.ndarray:
    return np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)


@pytest.mark.parametrize(("order", "signs"), ORDERS)
def test_nifti_of_any_orientation(
    tmp_path: Path, order: tuple[int, int, int], signs: tuple[int, int, int]
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(order)] * np.array(signs) * (0.75, 1.5, 3.0)
    affine[:3, 3] = (10, -20, 30)
    source = tmp_path / "image.nii"
    nibabel.save(nibabel.Nifti1Image(image_array(), affine), source)
    volume = read_image(source)
    out = tmp_path / "labels.nii.gz"
    write_labels(out, volume.array.astype(np.uint16), source_affine(source))
    written = nibabel.load(out)
    np.testing.assert_array_equal(np.asarray(written.dataobj), image_array())
    np.testing.assert_allclose(written.affine, affine, atol=1e-5)
    np.testing.assert_array_equal(read_image(out).array, volume.array)
    assert sorted(os.listdir(tmp_path)) == ["image.nii", "labels.nii.gz"]


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_itk_formats_with_a_turned_grid(tmp_path: Path, ending: str) -> None:
    image = sitk.GetImageFromArray(image_array())
    image.SetSpacing((0.75, 1.5, 3.0))
    image.SetOrigin((1, 2, 3))
    angle = np.deg2rad(20)
    cos, sin = np.cos(angle), np.sin(angle)
    image.SetDirection((0, 0, 1, cos, -sin, 0, sin, cos, 0))
    source, out = tmp_path / f"image{ending}", tmp_path / f"labels{ending}"
    sitk.WriteImage(image, str(source))
    volume = read_image(source)
    write_labels(out, volume.array.astype(np.uint8), source_affine(source))
    written = sitk.ReadImage(str(out))
    assert written.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), image_array())
    for what in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(written, what)(), getattr(image, what)(), atol=1e-9)


def test_a_dicom_series_gets_a_nifti_in_its_place(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "dicom_gapped_seg" / "ct-3slice"
    volume = read_image(source)
    labels = (volume.array > 50).astype(np.uint8)
    out = tmp_path / "labels.nii.gz"
    write_labels(out, labels, source_affine(source))
    found = read_image(out)
    np.testing.assert_array_equal(found.array, labels)
    np.testing.assert_allclose(found.affine, volume.affine, atol=1e-3)


def test_the_same_labels_give_the_same_bytes_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    labels = np.ones(SHAPE, np.uint8)
    for name in ("a.nii.gz", "b.nii.gz"):
        write_labels(tmp_path / name, labels, np.eye(4))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    with pytest.raises(RuntimeError):
        write_labels(tmp_path / "c.unknown", labels, np.eye(4))
    assert sorted(os.listdir(tmp_path)) == ["a.nii.gz", "b.nii.gz"]
