"""DICOM segmentation objects as label maps: a segment's number is its id.

A SEG file holds one bit plane for each segment and slice where that segment is, in any order, with empty
planes left out; or (LABELMAP) one plane of segment numbers a slice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from fve_pipeline.errors import GeometryError, ReadError
from fve_pipeline.runtime.faults import is_environment_fault
from fve_pipeline.volume.dicom_header import looks_like_dicom, read_file_header
from fve_pipeline.volume.overlay import Overlay
from fve_pipeline.volume.refusal import pick_channel, refusal
from fve_pipeline.volume.types import Raw

__all__ = ["is_segmentation", "read_segmentation"]


def is_segmentation(path: Path, name: str) -> bool:
    """Whether a path is a DICOM SEG file."""
    return path.is_file() and looks_like_dicom(path) and read_file_header(path, name).modality == "SEG"


def read_segmentation(path: Path, name: str, channel: int | None) -> Raw:
    """Read all segments, or with ``channel`` the n-th one (from 0, by number).

    Where segments overlap, values above all numbers stand for them (``Raw.sets``).
    """
    try:
        return _read(pydicom.dcmread(path), name, channel)
    except Exception as error:  # pydicom raises whatever a malformed object runs into
        if isinstance(error, ReadError) or is_environment_fault(error):
            raise
        found = f"a damaged or incomplete DICOM segmentation ({type(error).__name__})"
        raise refusal(name, found, "a whole one", "Export it again") from None


def _read(data: Any, name: str, channel: int | None) -> Raw:
    kind = str(data.get("SegmentationType", "BINARY"))
    if kind not in ("BINARY", "LABELMAP"):
        found = f"a DICOM segmentation of type {kind}"
        raise refusal(name, found, "BINARY or LABELMAP", "Export it as one of them")
    if "PixelData" not in data or data.file_meta.TransferSyntaxUID.is_encapsulated:
        found = "a DICOM segmentation without uncompressed pixels"
        raise refusal(name, found, "uncompressed ones", "Export it again, uncompressed")
    numbers = sorted(int(segment.SegmentNumber) for segment in data.SegmentSequence)
    if channel is not None:
        numbers = [numbers[pick_channel(name, len(numbers), channel, "its segments", strict=True)]]
    planes = _planes(data, kind, name)
    where, affine, depth = _grid(data, len(planes), name)
    shape = (depth, int(planes.shape[1]), int(planes.shape[2]))
    overlay = Overlay(shape)
    for number in numbers:
        for plane, z in zip(*_frames_of(number, planes, where, data, kind), strict=True):
            overlay.add_slice(z, plane, number)
    return Raw(shape, overlay.array.dtype, affine, array=overlay.array, modality="SEG", sets=overlay.sets)


def _planes(data: Any, kind: str, name: str) -> NDArray[Any]:
    frames, rows, columns = int(data.get("NumberOfFrames", 1)), int(data.Rows), int(data.Columns)
    bits = int(data.BitsAllocated)
    if min(frames, rows, columns) < 1:
        raise refusal(name, "a DICOM segmentation without pixels", "some", "Export it again")
    expected = (frames * rows * columns * bits + 7) // 8
    if len(data.PixelData) < expected:
        found = f"truncated, {len(data.PixelData)} of {expected} bytes of pixels"
        raise refusal(name, found, "all of them", "Export it again")
    if bits == 1 and kind == "BINARY":
        packed = np.frombuffer(data.PixelData, np.uint8, expected)
        flat = np.unpackbits(packed, bitorder="little")[: frames * rows * columns]
    else:
        flat = np.frombuffer(data.PixelData, np.dtype(f"<u{bits // 8}"), frames * rows * columns)
    return flat.reshape(frames, rows, columns)


def _frames_of(
    number: int, planes: NDArray[Any], where: NDArray[np.int64], data: Any, kind: str
) -> tuple[list[NDArray[Any]], list[int]]:
    """Return the planes of a segment and the slices that they belong to."""
    if kind == "LABELMAP":
        return [plane == number for plane in planes], where.tolist()
    groups = data.PerFrameFunctionalGroupsSequence
    shared = data.SharedFunctionalGroupsSequence[0].get("SegmentIdentificationSequence")
    owners = [(g.get("SegmentIdentificationSequence") or shared)[0].ReferencedSegmentNumber for g in groups]
    mine = [n for n, owner in enumerate(owners) if int(owner) == number]
    return [planes[n] for n in mine], [int(where[n]) for n in mine]


def _grid(data: Any, frames: int, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """(slice of each frame, affine of (slice, row, column) to LPS mm, slices): gaps are filled by empty ones."""
    shared, groups = data.SharedFunctionalGroupsSequence[0], data.PerFrameFunctionalGroupsSequence

    def of(group: Any, sequence: str, tag: str) -> Any:
        for source in (group, shared):
            if items := source.get(sequence):
                return items[0].get(tag)
        return None

    positions = [of(g, "PlanePositionSequence", "ImagePositionPatient") for g in groups]
    turns = {
        tuple(map(float, of(g, "PlaneOrientationSequence", "ImageOrientationPatient") or ())) for g in groups
    }
    spacing = of(groups[0], "PixelMeasuresSequence", "PixelSpacing")
    if len(positions) != frames or None in positions or len(turns) != 1 or not spacing or () in turns:
        found = "a DICOM segmentation whose frames have no one position, orientation and spacing"
        raise refusal(name, found, "them in its functional groups", "Export it again", GeometryError)
    row, column = np.array(turns.pop()).reshape(2, 3)
    normal = np.cross(row, column)
    places = np.array(positions, np.float64)
    along = places @ normal
    gaps = np.diff(np.unique(np.round(along, 3)))
    step = of(groups[0], "PixelMeasuresSequence", "SpacingBetweenSlices")
    step = step or (gaps.min() if len(gaps) else of(groups[0], "PixelMeasuresSequence", "SliceThickness"))
    step = abs(float(step or 1.0))
    steps = (along - along.min()) / step
    if np.abs(steps - np.round(steps)).max() > 0.1:
        found = f"a DICOM segmentation whose frames lie off a grid of {step:.3f} mm"
        raise refusal(name, found, "evenly spaced ones", "Export it again", GeometryError)
    where = np.round(steps).astype(np.int64)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = normal * step, column * spacing[0], row * spacing[1]
    affine[:3, 3] = places[int(np.argmin(along))]
    return where, affine, int(where.max()) + 1
