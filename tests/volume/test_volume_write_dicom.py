"""Labels as DICOM SEG and RTSTRUCT: read back by our reader, by highdicom and by pydicom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom.sr import _concepts_dict
from rtstruct_maker import turned
from volume_make import ramp, write_enhanced, write_series

from fve_pipeline.errors import ReadError
from fve_pipeline.volume import read_image, read_labels, source_affine
from fve_pipeline.volume.coded_terms import coded_term
from fve_pipeline.volume.contours import fill_polygons
from fve_pipeline.volume.dicom_source import MadeBy, source_series
from fve_pipeline.volume.label_file import LabelFile
from fve_pipeline.volume.outlines import outlines
from fve_pipeline.volume.structures import Structure
from fve_pipeline.volume.write import in_source_order
from fve_pipeline.volume.write_rtstruct import write_structures
from fve_pipeline.volume.write_seg import write_segmentation

SHAPE = (5, 16, 14)
NAMES = ("liver", "left kidney", "thing of ours")
MADE = MadeBy("fve_pipeline model", "1.2", (("weights_sha256", "ab" * 32),))
UIDS = {"StudyInstanceUID": "1.2.5", "FrameOfReferenceUID": "1.2.3", "SeriesNumber": 4}


def straight(folder: Path) -> Path:
    """Stored from the head down, as many scanners do."""
    places = [(-20.0, -30.0, -2.5 * n) for n in range(SHAPE[0])]
    return write_series(folder, ramp(SHAPE), places, **UIDS)


def oblique(folder: Path) -> Path:
    axes = turned(14, -9, 5)
    places = [tuple(axes @ (-20.0, -30.0, 2.5 * n)) for n in range(SHAPE[0])]
    orientation = tuple(axes[:, 0]) + tuple(axes[:, 1])
    return write_series(folder, ramp(SHAPE), places, orientation=orientation, **UIDS)


def sagittal(folder: Path) -> Path:
    places = [(2.5 * n, -30.0, 10.0) for n in range(SHAPE[0])]
    return write_series(folder, ramp(SHAPE), places, orientation=(0, 1, 0, 0, 0, -1), **UIDS)


def enhanced(folder: Path) -> Path:
    folder.mkdir()
    places = [(-20.0, -30.0, 1.2 * n) for n in (3, 0, 4, 1, 2)]
    data = pydicom.dcmread(write_enhanced(folder / "mr.dcm", ramp(SHAPE), places))
    for keyword, value in UIDS.items():
        setattr(data, keyword, value)
    data.save_as(folder / "mr.dcm")
    return folder


SCANS = pytest.mark.parametrize("scan", [straight, oblique, sagittal, enhanced])


def masks_of(image: Path, seed: int = 0) -> np.ndarray:
    """Three masks (segment, z, y, x) that overlap, with holes and lone voxels; the last has none in some slices."""
    masks = np.random.default_rng(seed).random((3, *read_image(image).array.shape)) < 0.5
    masks[2, :3] = False
    return masks


def in_order(image: Path, masks: np.ndarray) -> np.ndarray:
    return np.stack([in_source_order(mask, source_affine(image)) for mask in masks])


def read_back(image: Path, path: Path) -> list[np.ndarray]:
    wanted = tuple(Structure(number, (name,)) for number, name in enumerate(NAMES, start=1))
    labels = read_labels(
        [LabelFile(path.name, structures=wanted)], path.parent, read_image(image), overlaps=True
    )
    return [labels.where(number) for number in (1, 2, 3)]


@SCANS
def test_overlapping_segments_come_back_exactly(scan: Callable[[Path], Path], tmp_path: Path) -> None:
    hd = pytest.importorskip("highdicom", reason="highdicom is not to be had for this Python")
    image = scan(tmp_path / "scan")
    source = source_series(image)
    masks = masks_of(image)
    inside = in_order(image, masks)
    out = tmp_path / "seg.dcm"
    write_segmentation(out, source, NAMES, np.moveaxis(inside, 0, -1), MADE)
    for mask, back in zip(masks, read_back(image, out), strict=True):
        np.testing.assert_array_equal(back, mask)

    seg = hd.seg.segread(out)
    if len(source.headers) > 1:
        uids = [header.SOPInstanceUID for header in source.headers]
        theirs = seg.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)
    else:
        frames = [n + 1 for n in source.frames]
        uid = source.headers[0].SOPInstanceUID
        theirs = seg.get_pixels_by_source_frame(uid, frames, assert_missing_frames_are_empty=True)
    np.testing.assert_array_equal(np.moveaxis(theirs, -1, 0), inside)
    original = source.headers[0]
    assert [seg.StudyInstanceUID, seg.PatientID] == ["1.2.5", "SECRET-4711"]
    assert seg.SOPInstanceUID != original.SOPInstanceUID
    assert seg.SeriesInstanceUID != original.SeriesInstanceUID
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == original.SeriesInstanceUID
    liver, kidney, thing = seg.SegmentSequence
    assert liver.SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"
    [side] = kidney.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    assert (side.CodeMeaning, thing.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator) == (
        "Left",
        "99FVE",
    )
    [algorithm] = liver.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("fve_pipeline model", "1.2")


def test_a_label_map_becomes_segments_and_is_read_by_their_numbers(tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="highdicom is not to be had for this Python")
    image = straight(tmp_path / "scan")
    labels = np.random.default_rng(3).integers(0, 4, SHAPE).astype(np.uint16)
    write_segmentation(
        tmp_path / "seg.dcm", source_series(image), NAMES, in_source_order(labels, source_affine(image)), MADE
    )
    back = read_labels([LabelFile("seg.dcm")], tmp_path, read_image(image))
    np.testing.assert_array_equal(back.array, labels)
    write_segmentation(tmp_path / "none.dcm", source_series(image), NAMES, np.zeros(SHAPE, np.uint8), MADE)
    assert not read_labels([LabelFile("none.dcm")], tmp_path, read_image(image)).array.any()


@SCANS
def test_structures_come_back(scan: Callable[[Path], Path], tmp_path: Path) -> None:
    image = scan(tmp_path / "scan")
    source = source_series(image)
    masks = masks_of(image, 1)
    out = tmp_path / "rs.dcm"
    write_structures(out, source, NAMES, list(in_order(image, masks)), MADE)
    for mask, back in zip(masks[:2], read_back(image, out)[:2], strict=True):
        np.testing.assert_array_equal(back, mask)
    data = pydicom.dcmread(out)
    [frame] = data.ReferencedFrameOfReferenceSequence
    [series] = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert (frame.FrameOfReferenceUID, series.SeriesInstanceUID) == (
        "1.2.3",
        source.headers[0].SeriesInstanceUID,
    )
    by_uid = {header.SOPInstanceUID: header for header in source.headers}
    for contour in data.ROIContourSequence[0].ContourSequence:
        of_slice = by_uid[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        if len(by_uid) > 1:
            points = np.array(contour.ContourData, float).reshape(-1, 3) - np.array(
                of_slice.ImagePositionPatient, float
            )
            across = np.cross(of_slice.ImageOrientationPatient[:3], of_slice.ImageOrientationPatient[3:])
            assert np.abs(points @ across).max() < 1e-3  # in the plane of the slice that it names
    assert data.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence[0].CodeMeaning == "Liver"
    assert data.StructureSetROISequence[0].ROIGenerationAlgorithm == "AUTOMATIC"


def test_a_structure_that_is_nowhere_is_named_and_has_no_contours(tmp_path: Path) -> None:
    image = straight(tmp_path / "scan")
    write_structures(tmp_path / "rs.dcm", source_series(image), ["liver"], [np.zeros(SHAPE, bool)], MADE)
    data = pydicom.dcmread(tmp_path / "rs.dcm")
    assert [roi.ROIName for roi in data.StructureSetROISequence] == ["liver"]
    assert "ContourSequence" not in data.ROIContourSequence[0]


@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_outlines_enclose_their_pixels_and_pass_half_way_to_the_others(mask: np.ndarray) -> None:
    found = outlines(mask)
    np.testing.assert_array_equal(fill_polygons(found, mask.shape), mask)
    padded = np.pad(mask, 2)
    for point in np.concatenate(found) if found else ():
        ends = np.floor(point).astype(int) + 2, np.ceil(point).astype(int) + 2
        assert np.abs(ends[1] - ends[0]).sum() == 1  # between two neighbours, one of which is inside
        assert padded[tuple(ends[0])] != padded[tuple(ends[1])]


def test_what_cannot_be_referred_to_is_refused(tmp_path: Path) -> None:
    image = straight(tmp_path / "scan")
    with pytest.raises(ReadError, match="5×15×14 voxels for a series of 5×16×14"):
        write_structures(
            tmp_path / "rs.dcm", source_series(image), ["a"], [np.zeros((5, 15, 14), bool)], MADE
        )
    assert not list(tmp_path.glob("*rs*"))
    tilted = [(-20.0, -30.0 + 0.6 * n, 2.5 * n) for n in range(SHAPE[0])]
    with pytest.raises(ReadError, match="a tilted gantry"):
        source_series(write_series(tmp_path / "tilted", ramp(SHAPE), tilted, **UIDS))
    write_series(tmp_path / "bare", ramp(SHAPE))
    with pytest.raises(ReadError, match="a slice without StudyInstanceUID and FrameOfReferenceUID"):
        source_series(tmp_path / "bare")


def test_every_code_of_the_table_is_one_that_pydicom_knows() -> None:
    from fve_pipeline.volume.coded_terms import _table

    known: dict[str, set[str]] = {}
    for entries in _concepts_dict.concepts["SCT"].values():
        for code, (meaning, _) in entries.items():
            known.setdefault(code, set()).add(meaning.replace(" structure (body structure)", "").casefold())
    for name, (coding, where) in _table().items():
        assert coding.meaning.casefold() in known[coding.code], name
        assert where in ("", "-") or not _table()[where][1], name
    assert _table().keys() >= {"liver", "urinary bladder", "vertebra t12"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Right Lung", ("Lung", "Right", None)),
        ("head of the left femur", ("Head of Femur", "Left", None)),
        ("left ventricle", ("Left ventricle", None, None)),
        ("liver tumor", ("Neoplasm", None, "Liver")),
        ("left kidney cyst", ("Cyst", "Left", "Kidney")),
        ("Zürich's organ", ("Zürich's organ", None, None)),
    ],
)
def test_names_and_their_codes(name: str, said: tuple[Any, ...]) -> None:
    term = coded_term(name)
    assert (term.type.meaning, term.side and term.side.meaning, term.region and term.region.meaning) == said
