"""The series that a segmentation is drawn on, by its headers: what an object that goes back to an archive takes from it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from fve_pipeline.volume.dicom import series_files
from fve_pipeline.volume.dicom_header import read_file_header
from fve_pipeline.volume.dicom_stack import stack_frames
from fve_pipeline.volume.kinds import kind_of, shown
from fve_pipeline.volume.orientation import SHEAR_TOLERANCE, shear
from fve_pipeline.volume.refusal import refusal

__all__ = ["MadeBy", "SourceSeries", "description", "source_series", "unquoted"]

_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
#: An object of the same patient and study has them, and may have them empty.
_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
    "ReferringPhysicianName",
)  # fmt: skip


@contextmanager
def unquoted() -> Iterator[None]:
    """Keep pydicom and highdicom quiet about odd values of a source inside the block: their warnings quote names."""
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True)
class MadeBy:
    """The algorithm that a segmentation names: ``name``, ``version``, and ``parameters`` by name."""

    name: str
    version: str
    parameters: tuple[tuple[str, str], ...] = ()


def description(made_by: MadeBy | None) -> str:
    """Return what an archive shows of an object's content."""
    return "Labels of a data set" if made_by is None else "Segmentation by a model, not reviewed"


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """A series without its pixels: ``headers``, a slice each in the order of the volume, or one of many frames.

    ``shape`` is (slice, row, column) and ``affine`` maps its indices to LPS mm; ``frames`` are the places in the file
    of the volume's slices.
    """

    name: str
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    headers: tuple[Any, ...] = field(repr=False)
    frames: tuple[int, ...]

    def in_file_order(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array of the volume, slices first, with its slices as ``headers`` has its frames."""
        if len(self.headers) > 1:
            return array
        out = np.empty_like(array)
        out[list(self.frames)] = array
        return out

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ReadError where labels of ``shape`` (slice, row, column) are none of this series."""
        if shape != self.shape:
            found = f"a label map of {'×'.join(map(str, shape))} voxels for a series of {'×'.join(map(str, self.shape))}"
            advice = "Straightened volumes (--resample-tilt) can go into NIfTI only"
            raise refusal(self.name, found, "a voxel for each of the series'", advice)


def source_series(path: Path, series: str | None = None) -> SourceSeries:
    """Return the headers of a DICOM series: a folder, one of several series in it, or a file.

    Raises
    ------
    ReadError
        For what is no DICOM series, for one of several files of many frames, and where the study, the series or the frame
        of reference has no UID.
    """
    name = shown(path)
    if kind_of(path, name) != "dicom":
        advice = "Give the DICOM folder, or write NIfTI"
        raise refusal(name, "no DICOM", "a series to refer to", advice)
    files = series_files(path, series) if path.is_dir() else [path]
    read = [read_file_header(file, f"{name}/{file.name}") for file in files]
    frames = [(n, frame) for n, header in enumerate(read) for frame in header.frames]
    order, affine, _ = stack_frames([frame for _, frame in frames], name)
    if shear(affine) > SHEAR_TOLERANCE:
        found = "slices of a tilted gantry, and labels that were found on a straightened volume"
        raise refusal(name, found, "a label map that lies on the series", "Write NIfTI")
    if len(files) > 1 and len(frames) > len(files):
        found = f"{len(files)} files of {len(frames)} frames in one series"
        raise refusal(name, found, "a frame a file, or one file", "Export it in one of these forms")
    headers = [_header(file, name) for file in files]
    if len(headers) > 1:
        headers = [headers[n] for n in order]
    for header in headers:
        if len(frames) == len(headers) and not header.get("SliceThickness"):
            header.SliceThickness = f"{np.linalg.norm(affine[:3, 0]):.6g}"
    shape = (len(frames), read[0].rows, read[0].columns)
    return SourceSeries(name, shape, affine, tuple(headers), tuple(frames[n][1].index for n in order))


def _header(file: Path, name: str) -> Any:
    data = pydicom.dcmread(file, stop_before_pixels=True)
    if missing := [tag for tag in _NEEDED if not data.get(tag)]:
        found = f"a slice without {' and '.join(missing)}"
        raise refusal(
            name, found, "them, which an archive sorts by", "Write NIfTI, or export the series with them"
        )
    for tag in _MAY_BE_EMPTY:
        if tag not in data:
            setattr(data, tag, "")
    return data
