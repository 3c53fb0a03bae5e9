"""Label maps as one PNG a DICOM slice."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from volume_make import write_series

from fve_pipeline.catalog import discover, load_catalog
from fve_pipeline.errors import ReadError
from fve_pipeline.volume import hash_files, read_image, read_labels, source_files
from fve_pipeline.volume.label_file import LabelFile


def make(root: Path, *, upwards: bool) -> None:
    """Twelve slices whose HU say which they are, and pictures whose grey values do."""
    steps = range(12) if upwards else range(12, 0, -1)
    volume = np.stack([np.full((6, 5), 1024 + n, np.int16) for n in range(12)])
    volume[:, 0, 0] = 0
    write_series(root / "DICOM_anon", volume, [(-20.0, -30.0, 2.5 * step) for step in steps])
    (root / "Ground").mkdir()
    for n in range(12):
        plane = np.full((6, 5), n + 1, np.uint8)
        plane[0, 0] = 0
        cv2.imwrite(str(root / f"Ground/IMG-0001-{n}.png"), plane)  # 10 comes after 9, not after 1


FILE = LabelFile("Ground", slices_of="DICOM_anon")


@pytest.mark.parametrize("upwards", [True, False])
def test_pictures_follow_their_slices(tmp_path: Path, upwards: bool) -> None:
    make(tmp_path, upwards=upwards)
    image = read_image(tmp_path / "DICOM_anon")

    labels = read_labels([FILE], tmp_path, image)

    assert not labels.resampled
    np.testing.assert_array_equal(labels.array, np.where(image.array == -1024, 0, image.array + 1))
    assert sorted(np.unique(labels.array)) == list(range(13))


def test_pictures_of_one_class(tmp_path: Path) -> None:
    make(tmp_path, upwards=True)

    labels = read_labels(
        [LabelFile("Ground", value=4, slices_of="DICOM_anon")], tmp_path, read_image(tmp_path / "DICOM_anon")
    )

    assert set(np.unique(labels.array)) == {0, 4}


def test_chaos_as_downloaded_is_read(tmp_path: Path) -> None:
    make(tmp_path / "Train_Sets/MR/31/T2SPIR", upwards=True)
    for picture in (tmp_path / "Train_Sets/MR/31/T2SPIR/Ground").iterdir():
        cv2.imwrite(str(picture), np.full((6, 5), 126, np.uint8))
    catalog = load_catalog("chaos_mr_t2")

    [case] = discover(catalog, tmp_path)
    labels = read_labels(case.labels, tmp_path, read_image(tmp_path / case.image))

    assert set(np.unique(labels.array)) == {126} <= catalog.declared_ids


def test_pictures_are_hashed(tmp_path: Path) -> None:
    make(tmp_path, upwards=True)
    files = source_files(tmp_path / "Ground")
    before = hash_files(files)

    cv2.imwrite(str(files[3]), np.zeros((6, 5), np.uint8))

    assert [path.name for path in files] == [f"IMG-0001-{n}.png" for n in range(12)]
    assert hash_files(files) != before


def test_what_is_refused(tmp_path: Path) -> None:
    make(tmp_path, upwards=True)
    image = read_image(tmp_path / "DICOM_anon")

    cv2.imwrite(str(tmp_path / "Ground/IMG-0001-3.png"), np.zeros((7, 5), np.uint8))
    with pytest.raises(
        ReadError, match=r"IMG-0001-3.png: a picture of \(7, 5\) uint8; expected grey 6×5 of 8 bits"
    ):
        read_labels([FILE], tmp_path, image)
    (tmp_path / "Ground/IMG-0001-3.png").unlink()
    with pytest.raises(ReadError, match="Ground: 11 pictures for 12 DICOM slices in DICOM_anon"):
        read_labels([FILE], tmp_path, image)
