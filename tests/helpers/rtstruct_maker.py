"""RTSTRUCT files and contours made on the spot, by pydicom alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

Contours = Sequence[np.ndarray]


def turned(a: float, b: float, c: float) -> np.ndarray:
    """A rotation by degrees about x, then y, then z."""
    out = np.eye(3)
    for axis, angle in enumerate(np.radians((a, b, c))):
        turn = np.eye(3)
        i, j = (n for n in range(3) if n != axis)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        out = turn @ out
    return out


def grid(spacing: tuple[float, float, float], turn: np.ndarray | None = None) -> np.ndarray:
    """The affine of (z,y,x) to LPS mm, some way off the origin."""
    affine = np.eye(4)
    axes = np.array([[0, 0, spacing[2]], [0, spacing[1], 0], [spacing[0], 0, 0]])
    affine[:3, :3] = axes if turn is None else turn @ axes
    affine[:3, 3] = (-61.3, 17.9, 40.2)
    return affine


def write_rtstruct(
    path: Path,
    structures: Mapping[str, Contours],
    *,
    series: str = "1.2.3.4",
    frame: str = "1.2.3",
    kind: str | Mapping[str, str] = "CLOSED_PLANAR",
    **more: Any,
) -> Path:
    """Structures by name, each with its contours, (n, 3) in LPS mm; ``kind`` is their type, for all or by name."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path.name)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = RTStructureSetStorage, meta.MediaStorageSOPInstanceUID
    data.Modality, data.SeriesInstanceUID, data.FrameOfReferenceUID = "RTSTRUCT", "1.2.3.99", frame
    data.PatientName, data.PatientID = "Doe^Jane", "SECRET-4711"
    referenced, study, of_series = Dataset(), Dataset(), Dataset()
    of_series.SeriesInstanceUID = series
    study.RTReferencedSeriesSequence = Items([of_series])
    referenced.FrameOfReferenceUID = frame
    referenced.RTReferencedStudySequence = Items([study])
    data.ReferencedFrameOfReferenceSequence = Items([referenced])
    data.StructureSetROISequence, data.ROIContourSequence = Items(), Items()
    for number, (name, contours) in enumerate(structures.items(), start=1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        drawn.ReferencedROINumber = number
        drawn.ContourSequence = Items()
        for points in contours:
            one = Dataset()
            one.ContourGeometricType = kind if isinstance(kind, str) else kind.get(name, "CLOSED_PLANAR")
            one.NumberOfContourPoints = len(points)
            one.ContourData = [f"{value:.3f}" for value in np.asarray(points).ravel()]
            drawn.ContourSequence.append(one)
        data.StructureSetROISequence.append(roi)
        data.ROIContourSequence.append(drawn)
    for key, value in more.items():
        setattr(data, key, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path)
    return path
