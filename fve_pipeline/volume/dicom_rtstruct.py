"""RTSTRUCT: structures drawn as contours, as a label map on the image's grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray

from fve_pipeline.errors import GeometryError, ReadError
from fve_pipeline.runtime.faults import is_environment_fault
from fve_pipeline.volume.contours import NotParallelError, fill_structure
from fve_pipeline.volume.geometry import span_text
from fve_pipeline.volume.overlay import Overlay
from fve_pipeline.volume.references import refers_elsewhere
from fve_pipeline.volume.refusal import refusal
from fve_pipeline.volume.structures import Structure, assign
from fve_pipeline.volume.types import DicomPlace, Header, Raw, Volume

__all__ = ["DrawnStructure", "drawn_structures", "read_rtstruct"]

# Drawn round an area. Points and open lines are marks.
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


@dataclass(frozen=True, eq=False)
class DrawnStructure:
    """A structure as it is drawn: closed contours, (n, 3) in LPS mm; ``marks`` counts points and open lines beside."""

    name: str
    contours: tuple[NDArray[np.float64], ...]
    marks: int


def drawn_structures(path: Path, name: str, place: DicomPlace | None = None) -> list[DrawnStructure]:
    """Return an RTSTRUCT's structures by number.

    Raises ReadError where the file is damaged or no RTSTRUCT, and GeometryError where it was drawn on another image
    than that at ``place``.
    """
    try:
        data = pydicom.dcmread(path)
        if data.get("Modality") != "RTSTRUCT":
            raise refusal(name, "a DICOM object that is no RTSTRUCT", "one", "Name the structure set's file")
        if place is not None and (other := refers_elsewhere(data, place)):
            found, expected = f"its contours were drawn on {other} than the image's", "those of the image"
            advice = "Name the image's own structure set, or the series it was drawn on"
            raise refusal(name, found, expected, advice, GeometryError)
        drawn = {int(one.ReferencedROINumber): one for one in data.get("ROIContourSequence") or ()}
        return [
            _drawn(str(roi.get("ROIName") or ""), drawn.get(int(roi.ROINumber)))
            for roi in sorted(data.get("StructureSetROISequence") or (), key=lambda roi: int(roi.ROINumber))
        ]
    except Exception as error:  # pydicom raises whatever a malformed object runs into
        if isinstance(error, ReadError) or is_environment_fault(error):
            raise
        found = f"a damaged or incomplete RTSTRUCT ({type(error).__name__})"
        raise refusal(name, found, "a whole one", "Export it again") from None


def _drawn(name: str, roi: pydicom.Dataset | None) -> DrawnStructure:
    contours = []
    marks = 0
    for one in (roi.get("ContourSequence") or ()) if roi is not None else ():
        points = np.array([float(value) for value in one.get("ContourData") or ()]).reshape(-1, 3)
        if str(one.get("ContourGeometricType")) in _CLOSED and len(points) > 2:
            contours.append(points)
        else:
            marks += 1
    return DrawnStructure(name, tuple(contours), marks)


def read_rtstruct(path: Path, name: str, wanted: Sequence[Structure], like: Volume | Header) -> Raw:
    """Return the wanted structures as a label map on the grid of ``like``, by the ids of their classes.

    Raises
    ------
    ReadError
        For a class without a structure, or with one that encloses no voxel (both unless optional), and for contours
        in planes that are not parallel.
    GeometryError
        For an image without a position, for contours that were drawn on another image, and for contours that all lie
        outside of this one.
    """
    if not like.located:
        found = "contours in the patient's space, and an image that does not say where it lies"
        raise refusal(name, found, "the DICOM images they were drawn on", "Give those", GeometryError)
    structures = drawn_structures(path, name, like.place)
    places, notes = assign(wanted, [(one.name,) for one in structures], name, "structure")
    by_id = {one.id: one for one in wanted}
    overlay = Overlay(like.shape)
    for label, own in places:
        mask, said = _filled([structures[n] for n in own], name, by_id[label], like)
        overlay.add(mask, label)
        notes += said
    return Raw(
        like.shape, overlay.array.dtype, like.affine, array=overlay.array, notes=notes, sets=overlay.sets
    )


def _filled(
    structures: Sequence[DrawnStructure], name: str, wanted: Structure, like: Volume | Header
) -> tuple[NDArray[np.bool_], list[str]]:
    """Several structures of one class together."""
    called = repr(wanted.names[0]) if wanted.names else f"like {wanted.pattern!r}"
    mask = np.zeros(like.shape, bool)
    notes: list[str] = []
    contours = [contour for one in structures for contour in one.contours]
    if marks := sum(one.marks for one in structures):
        notes.append(f"structure {called}: {marks} points and open lines were passed over")
    for one in structures:
        if one.contours:
            try:
                filled, said = fill_structure(one.contours, like.affine, like.shape)
            except NotParallelError as error:
                raise refusal(
                    name, f"structure {called}: {error}", "parallel planes", "Draw it in one orientation"
                ) from None
            mask |= filled
            notes += [f"structure {called}: {note}" for note in said]
    if mask.any():
        return mask, notes
    if contours:
        points = np.concatenate(contours)
        back = np.linalg.inv(like.affine)
        inside = points @ back[:3, :3].T + back[:3, 3]
        if (inside.max(axis=0) < -0.5).any() or (inside.min(axis=0) > np.array(like.shape) - 0.5).any():
            low, high = points.min(axis=0), points.max(axis=0)
            where = ", ".join(f"{a:.0f}..{b:.0f}" for a, b in zip(low, high, strict=True))
            found = f"structure {called} lies at {where}, outside the image at {span_text(like.affine, like.shape)}"
            expected, advice = "it to overlap (LPS x, y, z in mm)", "Check that it belongs to this image"
            raise refusal(name, found, expected, advice, GeometryError)
    found = f"structure {called} has {len(contours)} contours and encloses no voxel"
    if not wanted.optional:
        advice = "Draw it, or set sparse where cases may lack some"
        raise refusal(name, found, "contours round some", advice)
    return mask, [*notes, found]
