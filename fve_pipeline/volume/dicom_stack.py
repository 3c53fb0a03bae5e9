"""Slices -> one volume's geometry, or a reason why they don't make one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import GeometryError
from fve_pipeline.volume.dicom_header import Frame
from fve_pipeline.volume.refusal import refusal

__all__ = ["stack_frames"]

_ANGLE = 1e-3  # between two slices' direction cosines
_FEW = 5  # odd gaps that are listed one by one
_GAP = 0.05  # of the usual gap between slices


def stack_frames(frames: Sequence[Frame], name: str) -> tuple[list[int], NDArray[np.float64], list[str]]:
    """(order of the frames, affine of (slice, row, column) to LPS mm, notes).

    Raises GeometryError for no or several pixel spacings, mixed orientations, and missing, uneven or
    duplicate slices, with the positions in mm along the slices' normal. A tilted gantry stays in the affine.
    """
    _check_complete(frames, name)
    orientation = _orientation(frames, name)
    spacing = _spacing(frames, name)
    row, column = orientation[:3], orientation[3:]
    normal = np.cross(row, column)
    positions = np.array([frame.position for frame in frames], np.float64)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    notes: list[str] = []
    if len(frames) == 1:
        step = frames[0].step
        if step is None:
            notes.append("one slice without a thickness in its header: 1 mm assumed")
        vector = normal * (step or 1.0)
    else:
        _check_gaps(along[order], name)
        vector = (positions[order[-1]] - positions[order[0]]) / (len(frames) - 1)
        _check_line(positions[order], vector, min(spacing), name)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = vector, column * spacing[0], row * spacing[1]
    affine[:3, 3] = positions[order[0]]
    return [int(n) for n in order], affine, notes


def _check_complete(frames: Sequence[Frame], name: str) -> None:
    missing = sum(frame.spacing is None for frame in frames)
    if missing:
        found = f"no PixelSpacing in {missing} of {len(frames)} slices"
        raise refusal(name, found, "millimetres a pixel", "Export the series again, with it", GeometryError)
    missing = sum(frame.position is None or frame.orientation is None for frame in frames)
    if missing:
        found = f"no position or orientation in {missing} of {len(frames)} slices"
        expected = "ImagePositionPatient and ImageOrientationPatient"
        raise refusal(name, found, expected, "Export the series again, with them", GeometryError)


def _spacing(frames: Sequence[Frame], name: str) -> tuple[float, ...]:
    found = {frame.spacing or () for frame in frames}
    first = frames[0].spacing or ()
    if min(first) <= 0:
        text = f"PixelSpacing is {list(first)}"
        raise refusal(name, text, "positive millimetres", "Export the series again", GeometryError)
    if any(not np.allclose(other, first, rtol=1e-3) for other in found):
        text = f"slices of different PixelSpacing {sorted(found)}"
        raise refusal(name, text, "one", "Split the series first", GeometryError)
    return first


def _orientation(frames: Sequence[Frame], name: str) -> NDArray[np.float64]:
    every = np.array([frame.orientation for frame in frames], np.float64)
    groups: list[NDArray[np.float64]] = []
    counts: list[int] = []
    for one in every:
        for n, group in enumerate(groups):
            if np.abs(one - group).max() <= _ANGLE:
                counts[n] += 1
                break
        else:
            groups.append(one)
            counts.append(1)
    if len(groups) > 1:
        found = f"slices in {len(groups)} orientations ({' and '.join(map(str, counts))} slices)"
        raise refusal(name, found, "one", "Split the series first", GeometryError)
    first = groups[0]
    lengths = np.linalg.norm(first.reshape(2, 3), axis=1)
    if np.abs(lengths - 1).max() > 0.01 or abs(first[:3] @ first[3:]) > 0.01:
        found = "ImageOrientationPatient holds other directions"
        expected = "two orthogonal unit vectors"
        raise refusal(name, found, expected, "Export the series again", GeometryError)
    unit: NDArray[np.float64] = first / np.repeat(lengths, 3)
    return unit


def _check_gaps(along: NDArray[np.float64], name: str) -> None:
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    repeated = gaps < max(0.01, _GAP * usual)
    if repeated.any():
        places = np.unique(np.round(along[1:][repeated], 3))
        each = len(along) / (len(along) - int(repeated.sum()))
        why = "several volumes (times, echoes) in one series" if each.is_integer() else "a doubled export"
        raise refusal(
            name,
            f"{int(repeated.sum())} of {len(along)} slices lie on others (at {_list(places)} mm): {why}",
            "one slice a position",
            "Split the series first",
            GeometryError,
        )
    odd = np.abs(gaps - usual) > _GAP * usual
    if odd.any():
        steps = np.flatnonzero(odd)
        where = ", ".join(f"{along[n]:.2f} to {along[n + 1]:.2f}" for n in steps[:_FEW])
        said = f"{len(along)} slices are {usual:.2f} mm apart, but not from {where} mm"
        if len(steps) > _FEW:
            said = (
                f"{len(steps)} of the {len(gaps)} gaps between slices are not the usual {usual:.2f} mm; they are "
                f"{gaps[odd].min():.2f} to {gaps[odd].max():.2f} mm, the first from {where.partition(',')[0]} mm"
            )
        lost = gaps[odd] / usual
        whole = np.abs(lost - np.round(lost)) < _GAP
        guess = f"{int((np.round(lost) - 1).sum())} missing slices" if whole.all() else "uneven slices"
        raise refusal(
            name,
            f"{guess}: {said}",
            "even gaps",
            "Export the whole series again, or resample it first",
            GeometryError,
        )


def _check_line(positions: NDArray[np.float64], vector: NDArray[np.float64], pixel: float, name: str) -> None:
    line = positions[0] + np.arange(len(positions))[:, None] * vector
    worst = float(np.linalg.norm(positions - line, axis=1).max())
    if worst > max(0.25 * pixel, _GAP * float(np.linalg.norm(vector))):
        raise refusal(
            name,
            f"slice positions leave their straight line by up to {worst:.2f} mm",
            "a straight stack",
            "Resample the series first",
            GeometryError,
        )


def _list(values: NDArray[np.float64]) -> str:
    text = ", ".join(f"{v:.2f}" for v in values[:5])
    return text + (f" and {len(values) - 5} more" if len(values) > 5 else "")
