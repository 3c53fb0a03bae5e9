"""Small files in every format, made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    SegmentationStorage,
    generate_uid,
)

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def ramp(shape: tuple[int, ...] = (4, 6, 5), dtype: Any = np.int16) -> np.ndarray:
    """Every voxel another value, so that no flip or permutation goes unseen."""
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def ras(
    spacing: Sequence[float] = (1.0, 2.0, 3.0), origin: Sequence[float] = (-10.0, 5.0, 7.0)
) -> np.ndarray:
    """An affine for (i,j,k) running right, forwards, up; spacing (x,y,z)."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return affine


def write_nifti(path: Path, zyx: np.ndarray, affine: np.ndarray | None = None, *, version: int = 1) -> Path:
    """An array (z,y,x[,channel]) as NIfTI with the axes i=x, j=y, k=z."""
    kind = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    axes = (2, 1, 0, 3)[: zyx.ndim]
    image = kind(np.transpose(zyx, axes), ras() if affine is None else affine, dtype=zyx.dtype)
    image.to_filename(path)
    return path


def slice_dataset(
    pixels: np.ndarray,
    position: Sequence[float],
    *,
    uid: str = "1.2.3.4",
    orientation: Sequence[float] = AXIAL,
    spacing: Sequence[float] = (0.7, 0.5),
    modality: str = "CT",
    slope: float | None = 1.0,
    intercept: float | None = -1024.0,
    **more: Any,
) -> FileDataset:
    """One classic single-frame slice (row, column); spacing is between rows, between columns."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[uid, str(position)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.Modality = uid, modality
    data.PatientName, data.PatientID = "Doe^Jane", "SECRET-4711"
    data.ImagePositionPatient = [f"{v:.6f}" for v in position]
    data.ImageOrientationPatient = [f"{v:.8f}"[:16] for v in orientation]
    data.PixelSpacing = list(spacing)
    if slope is not None:
        data.RescaleSlope, data.RescaleIntercept = slope, intercept
    _describe_pixels(data, pixels)
    for key, value in more.items():
        setattr(data, key, value)
    return data


def _describe_pixels(data: Dataset, pixels: np.ndarray) -> None:
    data.Rows, data.Columns = pixels.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = pixels.dtype.itemsize * 8
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()


def write_series(
    folder: Path,
    volume: np.ndarray,
    positions: Sequence[Sequence[float]] | None = None,
    *,
    prefix: str = "s",
    **more: Any,
) -> Path:
    """A folder of slices; a value of ``more`` that is a list holds one entry a slice."""
    folder.mkdir(parents=True, exist_ok=True)
    places = positions or [(-20.0, -30.0, 2.5 * n) for n in range(len(volume))]
    for n, (pixels, position) in enumerate(zip(volume, places, strict=True)):
        each = {k: v[n] if isinstance(v, list) else v for k, v in more.items()}
        slice_dataset(pixels, position, **each).save_as(folder / f"{prefix}{n:03d}.dcm")
    return folder


def group_frames(data: Dataset, positions: Sequence[Sequence[float]], spacing: Sequence[float]) -> None:
    """Give a multi-frame dataset the functional groups that say where its frames lie."""
    measures, plane = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = list(spacing), 1.2
    plane.ImageOrientationPatient = list(AXIAL)
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Items([measures]), Items([plane])
    data.SharedFunctionalGroupsSequence = Items([shared])
    frames = []
    for position in positions:
        place, frame = Dataset(), Dataset()
        place.ImagePositionPatient = list(position)
        frame.PlanePositionSequence = Items([place])
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = Items(frames)


def write_enhanced(path: Path, volume: np.ndarray, positions: Sequence[Sequence[float]]) -> Path:
    """An enhanced multi-frame MR file."""
    data = slice_dataset(volume, (0, 0, 0), modality="MR", slope=None)
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(data, tag)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    data.NumberOfFrames = len(volume)
    group_frames(data, positions, (0.7, 0.5))
    data.save_as(path)
    return path


def edit(source: Path, target: Path, **tags: Any) -> Path:
    """A DICOM file copied with some tags set, or (None) removed."""
    data = pydicom.dcmread(source)
    for key, value in tags.items():
        if value is None:
            delattr(data, key)
        else:
            setattr(data, key, value)
    data.save_as(target)
    return target


def write_seg(
    path: Path,
    planes: Sequence[tuple[int, np.ndarray, Sequence[float]]],
    segments: Sequence[int],
    *,
    spacing: Sequence[float] = (0.7, 0.5),
    **more: Any,
) -> Path:
    """A BINARY segmentation: planes are (segment number, mask (row, column), position)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SegmentationStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["seg"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = SegmentationStorage, meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.Modality, data.PatientName = "1.2.9", "SEG", "Doe^Jane"
    data.SegmentationType = "BINARY"
    data.SegmentSequence = Items([])
    for number in segments:
        segment = Dataset()
        segment.SegmentNumber, segment.SegmentLabel = number, f"segment {number}"
        data.SegmentSequence.append(segment)
    data.NumberOfFrames = len(planes)
    group_frames(data, [position for _, _, position in planes], spacing)
    for group, (number, _, _) in zip(data.PerFrameFunctionalGroupsSequence, planes, strict=True):
        owner = Dataset()
        owner.ReferencedSegmentNumber = number
        group.SegmentIdentificationSequence = Items([owner])
    _describe_pixels(data, np.zeros((1, *planes[0][1].shape), np.uint8))
    data.BitsAllocated = data.BitsStored = 1
    data.HighBit = 0
    bits = np.concatenate([mask.astype(bool).ravel() for _, mask, _ in planes])
    packed = np.packbits(bits, bitorder="little").tobytes()
    data.PixelData = packed + b"\0" * (len(packed) % 2)
    for key, value in more.items():
        setattr(data, key, value)
    data.save_as(path)
    return path
