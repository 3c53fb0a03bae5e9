"""DICOM SEG files as labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless
from volume_make import ramp, write_seg, write_series

from fve_pipeline.errors import GeometryError, ReadError
from fve_pipeline.volume import Labels, read_image, read_labels
from fve_pipeline.volume.label_file import LabelFile
from fve_pipeline.volume.structures import Structure

HEIGHTS = [2.5 * n for n in range(4)]


@pytest.fixture
def series(tmp_path: Path) -> Path:
    return write_series(tmp_path / "ct", ramp((4, 6, 5)))


def masks(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((4, 6, 5)) < 0.4


def planes_of(number: int, mask: np.ndarray, slices: list[int]) -> list[tuple[int, np.ndarray, Any]]:
    return [(number, mask[z], (-20.0, -30.0, HEIGHTS[z])) for z in slices]


def labels_of(series: Path, path: Path, **options: Any) -> Labels:
    return read_labels([LabelFile(path.name, **options)], path.parent, read_image(series))


def test_segments_become_ids(series: Path, tmp_path: Path) -> None:
    one, two = masks(0), masks(1) & ~masks(0)
    # Frames in no order; 30 pixels a plane, so that planes don't begin at whole bytes.
    planes = planes_of(1, one, [2, 0, 3, 1]) + planes_of(7, two, [1, 0, 2, 3])
    labels = labels_of(series, write_seg(tmp_path / "seg.dcm", planes, [1, 7]))
    np.testing.assert_array_equal(labels.array, np.where(two, 7, one))
    assert (labels.resampled, labels.notes) == (False, ())
    only = labels_of(series, tmp_path / "seg.dcm", channel=1, value=2)
    np.testing.assert_array_equal(only.array, two * 2)


def test_empty_slices_are_left_out_of_the_file(series: Path, tmp_path: Path) -> None:
    mask = masks()
    path = write_seg(tmp_path / "seg.dcm", planes_of(3, mask, [1, 3]), [3])
    data = pydicom.dcmread(path)
    data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices = 2.5
    data.save_as(path)
    labels = labels_of(series, path)
    expected = mask * 3
    expected[[0, 2]] = 0
    np.testing.assert_array_equal(labels.array, expected)
    assert labels.resampled


def test_sparse_frames_lie_on_the_images_slices(series: Path, tmp_path: Path) -> None:
    """Without SpacingBetweenSlices: the two frames are two slices apart, and not slices of 5 mm."""
    mask = masks()
    labels = labels_of(series, write_seg(tmp_path / "seg.dcm", planes_of(3, mask, [1, 3]), [3]))
    expected = mask * 3
    expected[[0, 2]] = 0
    np.testing.assert_array_equal(labels.array, expected)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Slices large enough for every encoder."""
    return write_series(tmp_path / "wide", ramp((4, 40, 48)))


def write_bytes(path: Path, values: np.ndarray, syntax: Any, **more: Any) -> Path:
    """Values of a byte a pixel, one frame a slice, compressed or (None) not."""
    planes = [(1, values[z], (-20.0, -30.0, HEIGHTS[z])) for z in range(4)]
    pixels = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelData": values.tobytes()}
    write_seg(path, planes, [1, 2, 3, 4], **pixels, **more)
    if syntax is not None:
        if syntax == JPEGLSLossless:  # no wheel for every Python
            pytest.importorskip("jpeg_ls", reason="pyjpegls, which encodes JPEG-LS, is not to be had here")
        if syntax == JPEG2000Lossless:
            pytest.importorskip(
                "openjpeg", reason="pylibjpeg-openjpeg, which encodes JPEG 2000, is not installed"
            )
        data = pydicom.dcmread(path)
        data.compress(syntax, generate_instance_uid=False)
        data.save_as(path)
    return path


SYNTAXES = [None, RLELossless, JPEGLSLossless, JPEG2000Lossless]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=str)
def test_fractional_and_compressed(wide: Path, tmp_path: Path, syntax: Any) -> None:
    shares = np.random.default_rng(2).integers(0, 201, (4, 40, 48)).astype(np.uint8)
    fractional = {"SegmentationType": "FRACTIONAL", "MaximumFractionalValue": 200}
    path = write_bytes(tmp_path / "seg.dcm", shares, syntax, **fractional)
    labels = labels_of(wide, path, threshold=0.4)
    np.testing.assert_array_equal(labels.array, shares >= 80)
    assert labels.notes == ("seg.dcm: fractional segments from 0.4 on",)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=str)
def test_a_compressed_label_map(wide: Path, tmp_path: Path, syntax: Any) -> None:
    ids = (ramp((4, 40, 48)) % 5).astype(np.uint8)
    path = write_bytes(tmp_path / "seg.dcm", ids, syntax, SegmentationType="LABELMAP")
    np.testing.assert_array_equal(labels_of(wide, path).array, ids)
    if syntax is not None:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 2 // 3])
        with pytest.raises(ReadError, match=r"can't be decoded|damaged or incomplete"):
            labels_of(wide, path)


def test_coded_segments_become_classes(series: Path, tmp_path: Path) -> None:
    one, two = masks(0), masks(1) & ~masks(0)
    planes = planes_of(1, one, [0, 1, 2, 3]) + planes_of(2, two, [0, 1, 2, 3])
    path = write_seg(tmp_path / "seg.dcm", planes, [1, 2, 3])
    data = pydicom.dcmread(path)
    code = pydicom.Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "10200004", "SCT", "Liver"
    data.SegmentSequence[1].SegmentedPropertyTypeCodeSequence = [code]
    data.save_as(path)
    by_code = (Structure(7, ("SCT:10200004",)), Structure(4, ("Segment 1",)))
    for liver in (by_code[0], Structure(7, ("liver",)), Structure(7, (), "Liv.*")):
        labels = labels_of(series, path, structures=(liver, by_code[1]))
        np.testing.assert_array_equal(labels.array, np.where(two, 7, one * 4))
    with pytest.raises(ReadError, match="no segment is called 'spleen'; there are 3"):
        labels_of(series, path, structures=(Structure(1, ("spleen",)),))
    with pytest.raises(ReadError, match="the segment of 'segment 3' has no voxel"):
        labels_of(series, path, structures=(Structure(1, ("segment 3",)),))
    empty = labels_of(series, path, structures=(Structure(1, ("segment 3",), optional=True),))
    assert empty.notes == ("seg.dcm: the segment of 'segment 3' has no voxel",)


def test_overlapping_segments(series: Path, tmp_path: Path) -> None:
    one, two = masks(0), masks(1)
    planes = planes_of(2, two, [0, 1, 2, 3]) + planes_of(1, one, [0, 1, 2, 3])
    labels = labels_of(series, write_seg(tmp_path / "seg.dcm", planes, [2, 1]))
    np.testing.assert_array_equal(labels.array, np.where(two, 2, one))
    count = int((one & two).sum())
    assert labels.notes == (
        f"seg.dcm: {count} voxels belong to several segments; the highest number was kept",
    )
    kept = read_labels([LabelFile("seg.dcm")], tmp_path, read_image(series), overlaps=True)
    assert not kept.notes
    np.testing.assert_array_equal(kept.where(1), one != 0)
    np.testing.assert_array_equal(kept.where(2), two != 0)


def test_label_map_type(series: Path, tmp_path: Path) -> None:
    ids = (ramp((4, 6, 5)) % 5).astype(np.uint8)
    planes = [(1, ids[z], (-20.0, -30.0, HEIGHTS[z])) for z in range(4)]
    pixels = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelData": ids.tobytes()}
    path = write_seg(tmp_path / "seg.dcm", planes, [1, 2, 3, 4], SegmentationType="LABELMAP", **pixels)
    np.testing.assert_array_equal(labels_of(series, path).array, ids)


def test_refused_segmentations(series: Path, tmp_path: Path) -> None:
    planes = planes_of(1, masks(), [0, 1, 2, 3])

    def text(**more: Any) -> str:
        path = write_seg(tmp_path / "seg.dcm", planes, [1], **more)
        with pytest.raises(ReadError) as caught:
            labels_of(series, path)
        assert "Doe" not in str(caught.value)
        return str(caught.value)

    assert text(SegmentationType="FRACTIONAL") == (
        "seg.dcm: a DICOM segmentation of type FRACTIONAL, and no threshold; expected the share from which on a voxel "
        "belongs to its segment. Say so in the catalog, such as threshold = 0.5 in [layout]."
    )
    assert "of type HEATMAP; expected BINARY, LABELMAP or FRACTIONAL" in text(SegmentationType="HEATMAP")
    assert text(PixelData=b"\0" * 4) == (
        "seg.dcm: truncated, 4 of 15 bytes of pixels; expected all of them. Export it again."
    )
    assert text(PerFrameFunctionalGroupsSequence=[]) == (
        "seg.dcm: a damaged or incomplete DICOM segmentation (IndexError); expected a whole one. Export it again."
    )
    uneven = [(1, masks()[0], (-20.0, -30.0, z)) for z in (0.0, 2.5, 6.0)]
    write_seg(tmp_path / "seg.dcm", uneven, [1])
    with pytest.raises(GeometryError, match="frames lie off a grid"):
        labels_of(series, tmp_path / "seg.dcm")
    far = [(1, masks()[0], (400.0, -30.0, z)) for z in HEIGHTS]
    write_seg(tmp_path / "seg.dcm", far, [1])
    with pytest.raises(GeometryError, match="outside the image"):
        labels_of(series, tmp_path / "seg.dcm")


def test_a_segmentation_is_no_image(series: Path) -> None:
    path = write_seg(series / "seg.dcm", planes_of(1, masks(), [0, 1]), [1])
    assert read_image(series).array.shape == (4, 6, 5)  # and none of the series' slices
    with pytest.raises(ReadError) as caught:
        read_image(path)
    assert str(caught.value) == (
        "seg.dcm: a DICOM object of modality SEG, which is no image; expected image slices. "
        "Name the folder (or file) of the images."
    )
