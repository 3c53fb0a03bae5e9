"""Label maps as one PNG a slice of a DICOM series, as CHAOS ships them."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from fve_pipeline.volume.dicom import list_series, series_frames
from fve_pipeline.volume.dicom_stack import stack_frames
from fve_pipeline.volume.kinds import shown
from fve_pipeline.volume.refusal import refusal
from fve_pipeline.volume.types import Raw

__all__ = ["picture_files", "read_pictures"]


def picture_files(folder: Path) -> list[Path]:
    """Return the PNG files directly in ``folder``, in natural order of their names; empty for anything else."""
    if not folder.is_dir():
        return []
    files = [
        path for path in folder.iterdir() if path.suffix.lower() == ".png" and not path.name.startswith(".")
    ]
    return sorted(files, key=_natural)


def read_pictures(folder: Path, series_folder: Path) -> Raw:
    """Stack the PNG slices of ``folder`` onto the DICOM series of ``series_folder``.

    The n-th picture is the n-th DICOM file, both in natural order of their names: pictures have no position
    of their own. Grey values are the label ids.

    Raises
    ------
    ReadError
        When there are more or fewer pictures than slices, or a picture is damaged, coloured or of another size.
    GeometryError
        When the DICOM slices make no volume.
    """
    name = shown(folder)
    pictures = picture_files(folder)
    frames = sorted(series_frames(series_folder), key=lambda frame: _natural(frame.path))
    if len(pictures) != len(frames):
        found = f"{len(pictures)} pictures for {len(frames)} DICOM slices in {shown(series_folder)}"
        raise refusal(name, found, "one a slice", "Download the folder again")
    series = list_series(series_folder)[0]
    order, affine, notes = stack_frames(frames, name)
    array = np.empty((len(frames), series.rows, series.columns), np.uint8)
    for position, n in enumerate(order):
        plane = cv2.imread(str(pictures[n]), cv2.IMREAD_UNCHANGED)
        if plane is None or plane.shape != array.shape[1:] or plane.dtype != np.uint8:
            what = "a damaged picture" if plane is None else f"a picture of {plane.shape} {plane.dtype}"
            expected = f"grey {series.rows}×{series.columns} of 8 bits, as its DICOM slice"
            raise refusal(f"{name}/{pictures[n].name}", what, expected, "Download it again")
        array[position] = plane
    return Raw(array.shape, array.dtype, affine, array=array, notes=notes)


def _natural(path: Path) -> tuple[object, ...]:
    pieces = re.split(r"(\d+)", path.name)
    return tuple(int(piece) if at % 2 else piece for at, piece in enumerate(pieces))
