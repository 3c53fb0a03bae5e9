"""DICOM: a folder with one series (or one named), a single file, or an enhanced multi-frame file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.volume.dicom_header import (
    FileHeader,
    Frame,
    is_media_directory,
    looks_like_dicom,
    read_file_header,
)
from fve_pipeline.volume.dicom_pixels import check_pixels, check_whole, read_pixels
from fve_pipeline.volume.dicom_stack import stack_frames
from fve_pipeline.volume.kinds import shown
from fve_pipeline.volume.pet import suv_factor
from fve_pipeline.volume.refusal import refusal
from fve_pipeline.volume.types import DicomPlace, Raw, Series
from fve_pipeline.volume.values import apply_scale, narrow, scaled_dtype

__all__ = ["list_series", "read_dicom", "series_files", "series_frames"]


def list_series(folder: str | Path) -> tuple[Series, ...]:
    """Return the image series that lie directly in a folder (or in one file), by key."""
    folder = Path(folder)
    return _group(header for header in _scan(folder, shown(folder)) if header.is_image)


def _group(headers: Iterable[FileHeader]) -> tuple[Series, ...]:
    groups: dict[str, list[FileHeader]] = {}
    for header in headers:
        groups.setdefault(header.uid, []).append(header)
    return tuple(sorted((_series(uid, members) for uid, members in groups.items()), key=lambda s: s.key))


def series_files(path: Path, series: str | None) -> list[Path]:
    """Return the files that :func:`read_dicom` reads, sorted by name."""
    return sorted(header.path for header in _choose(path, shown(path), series)[0])


def series_frames(path: Path) -> list[Frame]:
    """Return the slices of the one series of a folder, as their headers place them, in no order."""
    return [frame for header in _choose(path, shown(path), None)[0] for frame in header.frames]


def read_dicom(path: Path, name: str, *, series: str | None, voxels: bool, suv: bool = False) -> Raw:
    """Read the series of a folder, or (``voxels`` False) its headers only. Values come out rescaled.

    With ``suv``, the raw volume's slope turns a PET series' values into SUV.
    """
    headers, passed_over = _choose(path, name, series)
    frames = [(n, frame) for n, header in enumerate(headers) for frame in header.frames]
    sizes = sorted({(header.rows, header.columns) for header in headers})
    if len(sizes) > 1:
        text = ", ".join(f"{rows}×{columns}" for rows, columns in sizes)
        raise refusal(
            name, f"slices of different sizes ({text}) in one series", "one", "Split the series first"
        )
    if any(frame.spacing is not None for _, frame in frames):
        for header in headers:  # before the geometry: colour pictures rarely have a position
            check_pixels(header)
    order, affine, notes = stack_frames([frame for _, frame in frames], name)
    notes = [*passed_over, *notes]
    for header in headers:
        check_pixels(header)
    modalities = sorted({header.modality for header in headers})
    if len(modalities) > 1:
        notes.append(f"modalities {', '.join(modalities)} in one series")
    if any(header.photometric == "MONOCHROME1" for header in headers):
        notes.append("MONOCHROME1: low values are meant to be shown bright; values are kept as stored")
    if any(header.lossy for header in headers):
        notes.append("the pixels were compressed with loss before they came here")
    place = DicomPlace(headers[0].uid, headers[0].frame_of_reference)
    raw = Raw(
        (len(frames), *sizes[0]), _dtype(headers), affine, modality=modalities[0], place=place, notes=notes
    )
    if suv:
        raw.slope, how = suv_factor(list(dict.fromkeys(header.path for header in headers)), name)
        raw.notes.append(how)
    if voxels:
        raw.array = _read_slices(headers, [frames[n] for n in order], raw)
        raw.dtype = raw.array.dtype
    return raw


def _scan(path: Path, name: str) -> list[FileHeader]:
    if path.is_file():
        return [read_file_header(path, name)]
    files = [file for file in sorted(path.iterdir()) if file.is_file() and looks_like_dicom(file)]
    if not files:
        folders = sum(entry.is_dir() for entry in path.iterdir())
        raise refusal(
            name,
            f"no DICOM files in this folder ({folders} folders in it)",
            "the files of a series",
            "Name the folder that holds them",
        )
    return [read_file_header(file, f"{name}/{file.name}") for file in files]


def _choose(path: Path, name: str, series: str | None) -> tuple[list[FileHeader], list[str]]:
    """Return the files of the one series, or of the one that is named, and notes on what lies beside it."""
    headers = _scan(path, name)
    for header in headers:
        check_whole(header)
    images = [header for header in headers if header.is_image]
    if not images:
        check_pixels(headers[0])
    keys = sorted({header.key for header in images})
    notes = _directories(path)
    if series is None and len(keys) == 1:
        return images, notes
    groups = _group(images)
    stacks = [group for group in groups if group.slices > 1]
    if series is None and len(stacks) == 1:
        scouts = [group for group in groups if group.slices == 1]
        notes.append(
            f"{len(scouts)} series of a single slice passed over: {'; '.join(_text(s) for s in scouts[:3])}"
        )
        series = stacks[0].uid
    chosen = [header for header in images if series is not None and series in (header.key, header.uid)]
    if chosen:
        return chosen, notes
    found = "; ".join(_text(s) for s in groups)
    advice = "Name one by its key or SeriesInstanceUID"
    if series is None:
        found = f"{len(keys)} series in one folder ({found})"
        raise refusal(name, found, "one, or a series to be named", advice)
    raise refusal(name, "no series of the name that was given", f"one of: {found}", advice)


def _directories(path: Path) -> list[str]:
    if path.is_file():
        return []
    named = [file.name for file in sorted(path.iterdir()) if file.is_file() and is_media_directory(file)]
    return [f"the media directory {named[0]} was passed over"] if named else []


def _series(uid: str, headers: Sequence[FileHeader]) -> Series:
    first = headers[0]
    return Series(
        key=first.key,
        modality=first.modality,
        rows=first.rows,
        columns=first.columns,
        slices=sum(len(header.frames) for header in headers),
        files=tuple(header.path for header in headers),
        uid=uid,
    )


def _text(series: Series) -> str:
    return f"{series.key}: {series.modality}, {series.slices} of {series.rows}×{series.columns}"


def _scales(headers: Sequence[FileHeader]) -> set[tuple[float, float]]:
    return {(frame.slope, frame.intercept) for header in headers for frame in header.frames}


def _dtype(headers: Sequence[FileHeader]) -> np.dtype[Any]:
    """Return the type that the volume is expected in."""
    types = {scaled_dtype(header.stored_type, *scale) for header in headers for scale in _scales([header])}
    return np.dtype(np.result_type(*types))


def _read_slices(headers: Sequence[FileHeader], frames: Sequence[tuple[int, Any]], raw: Raw) -> NDArray[Any]:
    """All slices in order. One type for the volume: integers while every slope is one, else float32."""
    out = np.empty(raw.shape, raw.dtype)
    target = {(n, frame.index): position for position, (n, frame) in enumerate(frames)}
    for n, header in enumerate(headers):
        pixels, scaled = read_pixels(header)
        for frame, plane in zip(header.frames, pixels, strict=True):
            done = plane if scaled else apply_scale(plane[None], frame.slope, frame.intercept)[0]
            if out.dtype.kind != "f" and not _fits(done, out.dtype):
                out = out.astype(np.int32)
            out[target[n, frame.index]] = done
    return narrow(out)


def _fits(plane: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    if plane.dtype == dtype:
        return True
    bounds = np.iinfo(dtype)
    return bool(bounds.min <= plane.min() and plane.max() <= bounds.max)
