"""What is needed of a DICOM file's header, and nothing that names a patient.

Only the tags listed here are read. Messages hold numbers, modalities and file names, never another header
value; pydicom's own messages, which may quote values, are not passed on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.tag import Tag

from fve_pipeline.errors import ReadError
from fve_pipeline.runtime.faults import is_environment_fault
from fve_pipeline.volume.refusal import refusal

__all__ = [
    "NOT_IMAGES",
    "FileHeader",
    "Frame",
    "is_media_directory",
    "looks_like_dicom",
    "object_kind",
    "read_file_header",
]

# Odd values are this module's to judge; pydicom's warnings about them would quote the header.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

_TAGS: list[Any] = [
    "SOPClassUID", "Modality", "SeriesInstanceUID", "FrameOfReferenceUID", "Rows", "Columns", "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "LossyImageCompression",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip

#: DICOM's modality to the name that catalogs use, where they differ.
_CATALOG_NAMES = {"PT": "PET"}

#: Objects that hold no slices of their own, or whose values are not an image's.
NOT_IMAGES = {"RTPLAN", "RTSTRUCT", "RTDOSE", "RTRECORD", "SR", "PR", "KO", "REG", "SEG", "DOC", "FID"}
# As the file meta group, which is never compressed, holds it: tag, UI, length 20, the class.
_MEDIA_DIRECTORY = b"\x02\x00\x02\x00UI\x14\x001.2.840.10008.1.3.10"
_PIXEL_TAGS = {Tag("PixelData"): "", Tag("FloatPixelData"): "float", Tag("DoubleFloatPixelData"): "double"}


@dataclass(frozen=True, slots=True)
class Frame:
    """One slice: where it lies (LPS mm) and how its stored values become real ones."""

    path: Path
    index: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None  # between rows, between columns
    step: float | None  # to the next slice, as far as the header knows
    slope: float
    intercept: float


@dataclass(frozen=True, slots=True)
class FileHeader:
    """One DICOM file. ``pixels_at`` is the offset of its PixelData element; None when it has none."""

    path: Path
    name: str  # for messages
    uid: str = field(repr=False)
    frame_of_reference: str = field(repr=False)
    modality: str
    syntax: str
    compressed: bool
    rows: int
    columns: int
    samples: int
    photometric: str
    allocated: int
    stored: int
    signed: bool
    lossy: bool
    pixels_at: int | None
    frames: tuple[Frame, ...]

    @property
    def is_image(self) -> bool:
        """Whether it has pixels of a modality that is read as an image."""
        return self.rows > 0 and self.columns > 0 and self.modality not in NOT_IMAGES

    @property
    def key(self) -> str:
        """Short name of the series, the same wherever its files lie."""
        return hashlib.sha256(self.uid.encode()).hexdigest()[:8]

    @property
    def stored_type(self) -> np.dtype[Any]:
        """The type in which pixels are stored."""
        order = ">" if self.syntax == pydicom.uid.ExplicitVRBigEndian else "<"
        return np.dtype(f"{order}{'i' if self.signed else 'u'}{self.allocated // 8}")


def looks_like_dicom(path: Path) -> bool:
    """Whether a file in a folder is to be read as DICOM: by its name or its first bytes, media directories left out."""
    if path.name.startswith(".") or is_media_directory(path):
        return False
    if path.suffix.lower() in (".dcm", ".ima", ".dicom"):
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def object_kind(path: Path, name: str) -> str | None:
    """Return the modality of a DICOM file (``SEG``, ``RTSTRUCT``, ``CT``); None for a folder or another kind of file."""
    return read_file_header(path, name).modality if path.is_file() and looks_like_dicom(path) else None


def is_media_directory(path: Path) -> bool:
    """Whether a file lists the files of a medium (``DICOMDIR``, ``DIRFILE``, any name): by its storage class."""
    if path.name == "DICOMDIR":
        return True
    with path.open("rb") as file:
        head = file.read(1024)
    return head[128:132] == b"DICM" and _MEDIA_DIRECTORY in head


def read_file_header(path: Path, name: str) -> FileHeader:
    """Read the tags above; raises ReadError where the file is not DICOM or its numbers are not numbers."""
    try:
        with path.open("rb") as file:
            data = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS, force=True)
            syntax = str(data.file_meta.get("TransferSyntaxUID", pydicom.uid.ImplicitVRLittleEndian))
            pixels_at = _pixels_at(file, syntax)
        if "SOPClassUID" not in data and "Modality" not in data:
            raise refusal(
                name, "no DICOM header", "a DICOM file", "Remove it from the folder, or name the file"
            )
        return _header(path, name, data, syntax, pixels_at)
    except Exception as error:  # pydicom raises whatever its parsing runs into
        if isinstance(error, ReadError) or is_environment_fault(error):
            raise
        raise refusal(
            name, f"damaged DICOM header ({type(error).__name__})", "a whole DICOM file", "Export it again"
        ) from None


def _pixels_at(file: Any, syntax: str) -> int | None:
    """Offset of the pixel data element, at which pydicom has stopped."""
    if syntax == pydicom.uid.DeflatedExplicitVRLittleEndian:
        return None
    offset = int(file.tell())
    tag = file.read(4)
    order = ">" if syntax == pydicom.uid.ExplicitVRBigEndian else "<"
    if len(tag) == 4 and Tag(*np.frombuffer(tag, f"{order}u2").tolist()) in _PIXEL_TAGS:
        return offset
    return None


def _header(path: Path, name: str, data: Any, syntax: str, pixels_at: int | None) -> FileHeader:
    frames = _int(data, "NumberOfFrames", 1)
    if frames > (size := path.stat().st_size):  # a frame takes a byte at least, however it is compressed
        raise refusal(
            name,
            f"{frames:,} frames in a file of {size:,} bytes",
            "as many as it can hold",
            "Export it again",
        )
    per_frame = data.get("PerFrameFunctionalGroupsSequence") or [None] * frames
    shared = (data.get("SharedFunctionalGroupsSequence") or [None])[0]
    allocated = _int(data, "BitsAllocated", 16)
    modality = str(data.get("Modality") or "unknown")
    return FileHeader(
        path=path,
        name=name,
        uid=str(data.get("SeriesInstanceUID") or ""),
        frame_of_reference=str(data.get("FrameOfReferenceUID") or ""),
        modality=_CATALOG_NAMES.get(modality, modality),
        syntax=syntax,
        compressed=pydicom.uid.UID(syntax).is_compressed,
        rows=_int(data, "Rows", 0),
        columns=_int(data, "Columns", 0),
        samples=_int(data, "SamplesPerPixel", 1),
        photometric=str(data.get("PhotometricInterpretation") or "MONOCHROME2"),
        allocated=allocated,
        stored=_int(data, "BitsStored", allocated),
        signed=_int(data, "PixelRepresentation", 0) == 1,
        lossy=str(data.get("LossyImageCompression") or "00") == "01",
        pixels_at=pixels_at,
        frames=tuple(_frame(path, n, data, shared, group) for n, group in enumerate(per_frame)),
    )


def _frame(path: Path, index: int, data: Any, shared: Any, group: Any) -> Frame:
    def value(sequence: str, tag: str) -> Any:
        """From the frame's own functional group, the shared one, or (classic files) the file itself."""
        for source in (group, shared):
            items = source.get(sequence) if source is not None else None
            if items and items[0].get(tag) is not None:
                return items[0].get(tag)
        return data.get(tag)

    measures = "PixelMeasuresSequence"
    step = value(measures, "SpacingBetweenSlices") or value(measures, "SliceThickness")
    slope = value("PixelValueTransformationSequence", "RescaleSlope")
    intercept = value("PixelValueTransformationSequence", "RescaleIntercept")
    return Frame(
        path=path,
        index=index,
        position=_floats(value("PlanePositionSequence", "ImagePositionPatient"), 3),
        orientation=_floats(value("PlaneOrientationSequence", "ImageOrientationPatient"), 6),
        spacing=_floats(value(measures, "PixelSpacing"), 2),
        step=abs(float(step)) or None if step is not None else None,
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
    )


def _int(data: Any, tag: str, default: int) -> int:
    value = data.get(tag)
    try:
        return default if value is None else int(value)
    except (TypeError, ValueError):
        return default


def _floats(value: Any, count: int) -> tuple[float, ...] | None:
    try:
        numbers = tuple(float(v) for v in value)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and np.isfinite(numbers).all() else None
