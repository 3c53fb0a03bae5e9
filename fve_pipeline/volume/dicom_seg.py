"""DICOM segmentation objects as label maps: a segment's number is its id, or what it is called says its class.

A SEG file holds one bit plane for each segment and slice where that segment is, in any order, with empty
planes left out; or (LABELMAP) one plane of segment numbers a slice; or (FRACTIONAL) shares of 0..255, say.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from fve_pipeline.errors import GeometryError, ReadError
from fve_pipeline.runtime.faults import is_environment_fault
from fve_pipeline.volume.dicom_pixels import decode_file
from fve_pipeline.volume.overlay import Overlay
from fve_pipeline.volume.refusal import pick_channel, refusal
from fve_pipeline.volume.structures import Structure, assign
from fve_pipeline.volume.types import Header, Raw, Volume

__all__ = ["read_segmentation", "segment_names"]


def read_segmentation(
    path: Path,
    name: str,
    channel: int | None,
    structures: Sequence[Structure] | None = None,
    threshold: float | None = None,
    like: Header | Volume | None = None,
) -> Raw:
    """Read all segments by their numbers, or with ``channel`` the n-th one (from 0, by number).

    With ``structures``, the segments that are called so (by label, or by their coded type's meaning or code) by the
    ids of their classes. ``threshold`` (0..1) is the share from which on a voxel of a fractional segmentation
    belongs to its segment. ``like`` is the image: its slices are the segmentation's where that does not say how far
    apart its own are. Where segments overlap, values above all numbers stand for them (``Raw.sets``).
    """
    try:
        return _read(pydicom.dcmread(path), path, name, channel, structures, threshold, like)
    except Exception as error:  # pydicom raises whatever a malformed object runs into
        if isinstance(error, ReadError) or is_environment_fault(error):
            raise
        found = f"a damaged or incomplete DICOM segmentation ({type(error).__name__})"
        raise refusal(name, found, "a whole one", "Export it again") from None


def segment_names(path: Path, name: str) -> list[list[str]]:
    """Return what each segment of a file is called, by number. Raises ReadError where it cannot be read."""
    try:
        data = pydicom.dcmread(path, stop_before_pixels=True)
        return [_called(one) for one in sorted(data.SegmentSequence, key=lambda one: int(one.SegmentNumber))]
    except Exception as error:
        if is_environment_fault(error):
            raise
        found = f"a damaged or incomplete DICOM segmentation ({type(error).__name__})"
        raise refusal(name, found, "a whole one", "Export it again") from None


def _read(
    data: Any,
    path: Path,
    name: str,
    channel: int | None,
    structures: Sequence[Structure] | None,
    threshold: float | None,
    like: Header | Volume | None,
) -> Raw:
    kind = str(data.get("SegmentationType", "BINARY"))
    if kind not in ("BINARY", "LABELMAP", "FRACTIONAL"):
        found = f"a DICOM segmentation of type {kind}"
        raise refusal(name, found, "BINARY, LABELMAP or FRACTIONAL", "Export it as one of them")
    if kind == "FRACTIONAL" and threshold is None:
        found = "a DICOM segmentation of type FRACTIONAL, and no threshold"
        advice = "Say so in the catalog, such as threshold = 0.5 in [layout]"
        raise refusal(name, found, "the share from which on a voxel belongs to its segment", advice)
    segments = sorted(
        (one for one in data.SegmentSequence if int(one.SegmentNumber)),
        key=lambda one: int(one.SegmentNumber),
    )
    numbers = [int(segment.SegmentNumber) for segment in segments]
    notes: list[str] = []
    if structures is not None:
        places, notes = assign(structures, [_called(one) for one in segments], name, "segment")
        chosen = [(numbers[place], label) for label, own in places for place in own]
    else:
        if channel is not None:
            numbers = [numbers[pick_channel(name, len(numbers), channel, "its segments", strict=True)]]
        chosen = [(number, number) for number in numbers]
    planes = _planes(data, path, name)
    if kind == "FRACTIONAL" and threshold is not None:
        planes = planes >= max(1, threshold * int(data.get("MaximumFractionalValue") or 255))
        notes.append(f"fractional segments from {threshold:g} on")
    where, affine, depth = _grid(data, len(planes), name, like)
    shape = (depth, int(planes.shape[1]), int(planes.shape[2]))
    overlay = Overlay(shape)
    for number, label in chosen:
        found_planes, places_of = _frames_of(number, planes, where, data, kind)
        if structures is not None and not any(plane.any() for plane in found_planes):
            _empty(next(one for one in structures if one.id == label), name, notes)
        for plane, z in zip(found_planes, places_of, strict=True):
            overlay.add_slice(z, plane, label)
    return Raw(
        shape,
        overlay.array.dtype,
        affine,
        array=overlay.array,
        modality="SEG",
        notes=notes,
        sets=overlay.sets,
    )


def _empty(one: Structure, name: str, notes: list[str]) -> None:
    text = f"the segment of {' or '.join(map(repr, one.names))} has no voxel"
    if not one.optional:
        raise refusal(name, text, "some", "Correct the file, or set sparse where cases may lack some")
    notes.append(text)


def _called(segment: Any) -> list[str]:
    """Return what a segment is called: its label, its coded type's meaning, and the code itself (``SCT:10200004``)."""
    names = [str(segment.get("SegmentLabel") or "")]
    for sequence in ("SegmentedPropertyTypeCodeSequence", "AnatomicRegionSequence"):
        for code in segment.get(sequence) or ():
            names += [
                str(code.get("CodeMeaning") or ""),
                f"{code.get('CodingSchemeDesignator')}:{code.get('CodeValue')}",
            ]
    return [text for text in names if text]


def _planes(data: Any, path: Path, name: str) -> NDArray[Any]:
    frames, rows, columns = int(data.get("NumberOfFrames", 1)), int(data.Rows), int(data.Columns)
    bits = int(data.BitsAllocated)
    if "PixelData" not in data or min(frames, rows, columns) < 1:
        raise refusal(name, "a DICOM segmentation without pixels", "some", "Export it again")
    if data.file_meta.TransferSyntaxUID.is_encapsulated:
        return _decoded(path, name, data.file_meta.TransferSyntaxUID.name, (frames, rows, columns))
    expected = (frames * rows * columns * bits + 7) // 8
    if len(data.PixelData) < expected:
        found = f"truncated, {len(data.PixelData)} of {expected} bytes of pixels"
        raise refusal(name, found, "all of them", "Export it again")
    if bits == 1:
        packed = np.frombuffer(data.PixelData, np.uint8, expected)
        flat = np.unpackbits(packed, bitorder="little")[: frames * rows * columns]
    else:
        order = ">" if data.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRBigEndian else "<"
        flat = np.frombuffer(data.PixelData, np.dtype(f"{order}u{bits // 8}"), frames * rows * columns)
    return flat.reshape(frames, rows, columns)


def _decoded(path: Path, name: str, syntax: str, shape: tuple[int, int, int]) -> NDArray[Any]:
    array = decode_file(path)
    if array is None or array.size != np.prod(shape):
        raise refusal(
            name, f"its pixels ({syntax}) can't be decoded", "a readable stream", "Export it uncompressed"
        )
    return array.reshape(shape)


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


def _grid(
    data: Any, frames: int, name: str, like: Header | Volume | None
) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
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
    step = step or _image_step(like, normal, gaps)
    step = step or (gaps.min() if len(gaps) else of(groups[0], "PixelMeasuresSequence", "SliceThickness"))
    step = abs(float(step or 1.0))
    if (count := round(float(np.ptp(along)) / step)) and abs(
        float(np.ptp(along)) / count - step
    ) < 0.1 * step / count:
        step = float(np.ptp(along)) / count  # what the header rounded
    steps = (along - along.min()) / step
    if np.abs(steps - np.round(steps)).max() > 0.1:
        found = f"a DICOM segmentation whose frames lie off a grid of {step:.3f} mm"
        raise refusal(name, found, "evenly spaced ones", "Export it again", GeometryError)
    where = np.round(steps).astype(np.int64)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = normal * step, column * spacing[0], row * spacing[1]
    affine[:3, 3] = places[int(np.argmin(along))]
    return where, affine, int(where.max()) + 1


def _image_step(
    like: Header | Volume | None, normal: NDArray[np.float64], gaps: NDArray[np.float64]
) -> float | None:
    """Return the distance of the image's slices where the frames lie on them: empty frames are left out of a file."""
    if like is None or not like.located:
        return None
    spacing = np.sqrt((like.affine[:3, :3] ** 2).sum(axis=0))
    along = np.abs(normal @ (like.affine[:3, :3] / spacing))
    step = float(spacing[int(along.argmax())])
    parts = gaps / step
    fits = along.max() > 0.999 and (np.abs(parts - np.round(parts)) < 0.1).all()
    return step if fits else None
