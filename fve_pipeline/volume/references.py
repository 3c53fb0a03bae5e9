"""Which series a DICOM object belongs to: what tells an image's RTSTRUCT or SEG from its neighbours'."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom

from fve_pipeline.runtime.faults import is_environment_fault
from fve_pipeline.volume.dicom_header import looks_like_dicom
from fve_pipeline.volume.types import DicomPlace

__all__ = ["has_modality", "objects_below", "referring_objects", "refers_elsewhere"]

_TAGS: list[Any] = [
    "Modality", "SeriesInstanceUID", "FrameOfReferenceUID", "ReferencedSeriesSequence",
    "ReferencedFrameOfReferenceSequence",
]  # fmt: skip


def has_modality(path: Path, modality: str) -> bool:
    """Whether a DICOM file, or any directly in a folder, is of ``modality`` as DICOM has it (CT, MR, PT)."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return any(_header(file).get("Modality") == modality for file in files if file.is_file())


def objects_below(path: Path, modality: str) -> list[Path]:
    """Return the DICOM files of a modality below a folder, by name; or the file itself where it is one."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return [file for file in files if _header(file).get("Modality") == modality]


def referring_objects(folder: Path, modality: str, image: Path, series: str | None = None) -> list[Path]:
    """Return the RTSTRUCT or SEG files (``modality``) below ``folder`` that refer to the image's series, by name.

    Where none refers to it, those drawn in its frame of reference. ``image`` is a DICOM file or a folder, ``series``
    one of several in it, by its UID or key.
    """
    from fve_pipeline.volume.dicom import list_series

    found = [one for one in list_series(image) if series is None or series in (one.key, one.uid)]
    uids = {one.uid for one in found}
    frames = {str(_header(one.files[0]).get("FrameOfReferenceUID") or "") for one in found} - {""}
    by_series, by_frame = [], []
    for file in objects_below(folder, modality):
        header = _header(file)
        if uids & set(_series_of(header)):
            by_series.append(file)
        elif frames & set(_frames_of(header)):
            by_frame.append(file)
    return by_series or by_frame


def refers_elsewhere(header: Any, place: DicomPlace) -> str | None:
    """Return in what a DICOM object refers to another image than that at ``place``; None where it may be its own.

    The same series, or the same frame of reference, will do; what one of the two does not say is not compared.
    """
    series, frames = {*_series_of(header)}, {*_frames_of(header)}
    pairs = (("series", series, place.series), ("frame of reference", frames, place.frame))
    compared = [(what, own in named) for what, named, own in pairs if named and own]
    if not compared or any(same for _, same in compared):
        return None
    return " and ".join(f"another {what}" for what, _ in compared)


def _header(path: Path) -> Any:
    """Return the tags above; nothing of a file that cannot be read, of which its reader will tell."""
    try:
        if not looks_like_dicom(path):
            return {}
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=True)
    except Exception as error:
        if is_environment_fault(error):
            raise
        return {}


def _series_of(header: Any) -> Iterator[str]:
    for one in header.get("ReferencedSeriesSequence") or ():
        yield str(one.get("SeriesInstanceUID"))
    for frame in header.get("ReferencedFrameOfReferenceSequence") or ():
        for study in frame.get("RTReferencedStudySequence") or ():
            for one in study.get("RTReferencedSeriesSequence") or ():
                yield str(one.get("SeriesInstanceUID"))


def _frames_of(header: Any) -> Iterator[str]:
    for one in (header, *(header.get("ReferencedFrameOfReferenceSequence") or ())):
        if uid := one.get("FrameOfReferenceUID"):
            yield str(uid)
