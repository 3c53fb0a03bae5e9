"""Straightening a sheared stack (a tilted CT gantry): each slice is shifted within its own plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import GeometryError
from fve_pipeline.volume.orientation import SHEAR_TOLERANCE, shear
from fve_pipeline.volume.refusal import refusal

__all__ = ["straighten"]


def straighten(
    array: NDArray[Any], affine: NDArray[np.float64], name: str
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Resample (linear, in plane) so that the first axis is the slices' normal.

    The canvas grows so that nothing is cut; new voxels get the volume's lowest value. Every voxel stays where
    it was in the body.
    """
    columns = affine[:3, :3]
    spacing = np.sqrt((columns**2).sum(axis=0))
    row, column = columns[:, 1] / spacing[1], columns[:, 2] / spacing[2]
    flat = np.eye(4)
    flat[:3, :2] = columns[:, 1:]
    flat[:3, 2] = np.cross(columns[:, 1], columns[:, 2])
    if shear(flat) > SHEAR_TOLERANCE:
        raise refusal(
            name,
            "the axes within a slice are not orthogonal",
            "them to be",
            "Resample the file first",
            GeometryError,
        )
    normal = np.cross(row, column)
    step = columns[:, 0]
    # The step's share within the plane, in pixels a slice.
    drift = np.array([step @ row / spacing[1], step @ column / spacing[2]])
    moves = np.arange(len(array))[:, None] * drift
    low = np.floor(moves.min(axis=0)).astype(int)
    grow = np.ceil(moves.max(axis=0)).astype(int) - low
    out = np.full((len(array), array.shape[1] + grow[0], array.shape[2] + grow[1]), array.min(), array.dtype)
    for target, source, move in zip(out, array, moves - low, strict=True):
        moved = _shift(_shift(source.astype(np.float64), move[0], 0), move[1], 1)
        top, left = (int(np.floor(m)) for m in move)
        valid = moved if array.dtype.kind == "f" else np.rint(moved)
        target[
            top + (move[0] > top) : top + array.shape[1], left + (move[1] > left) : left + array.shape[2]
        ] = valid
    fixed = affine.copy()
    fixed[:3, 0] = normal * (step @ normal)
    fixed[:3, 3] += columns[:, 1] * low[0] + columns[:, 2] * low[1]
    return out, fixed


def _shift(plane: NDArray[np.float64], move: float, axis: int) -> NDArray[np.float64]:
    """Values between neighbours where the grid moves by a fraction; one fewer along the axis then."""
    part = move - np.floor(move)
    if part == 0:
        return plane
    n = plane.shape[axis]
    before, after = plane.take(range(n - 1), axis), plane.take(range(1, n), axis)
    mixed: NDArray[np.float64] = before * part + after * (1 - part)
    return mixed
