"""Two grids in the same world: are they the same, do they overlap, and nearest resampling between them."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["boxes_overlap", "grid_offset", "itk_place", "resample_nearest", "span_text"]

Shape = tuple[int, int, int]
Affine = NDArray[np.float64]


def grid_offset(affine: Affine, other: Affine, shape: Shape) -> float:
    """How far apart, in voxels of ``other``, the same index lies in two grids of one shape, at worst.

    Below 0.5, nearest resampling from one to the other is the identity.
    """
    corners = _corners(shape)
    mapped = np.linalg.inv(other) @ affine @ corners
    return float(np.abs(mapped - corners)[:3].max())


def boxes_overlap(affine: Affine, shape: Shape, other: Affine, other_shape: Shape) -> bool:
    """Whether two volumes' boxes share space: no face's normal and no pair of edges separates them."""
    a, b = affine @ _corners(shape, 0.5), other @ _corners(other_shape, 0.5)
    axes = [*affine[:3, :3].T, *other[:3, :3].T]
    faces = [np.cross(axes[i], axes[j]) for i, j in ((0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5))]
    edges = [np.cross(p, q) for p, q in product(axes[:3], axes[3:])]
    for axis in faces + edges:
        length = np.linalg.norm(axis)
        if length < 1e-9:
            continue  # parallel edges: their separating axis is a face's
        p, q = axis @ a[:3] / length, axis @ b[:3] / length
        if p.max() <= q.min() + 1e-6 or q.max() <= p.min() + 1e-6:
            return False
    return True


def resample_nearest(array: NDArray[Any], affine: Affine, like: Affine, shape: Shape) -> NDArray[Any]:
    """``array`` (on ``affine``) at the voxel centres of the grid (``like``, ``shape``); 0 outside of it.

    Exactly half-way points go to the higher index.
    """
    matrix = np.linalg.inv(affine) @ like
    # Header noise off the diagonal must move no corner by more than a thousandth of a voxel.
    diagonal = np.diag(np.diag(matrix[:3, :3]))
    if np.abs((matrix[:3, :3] - diagonal) @ np.array(shape)).max() < 1e-3:
        return _separable(array, matrix, shape)
    return _general(array, matrix, shape)


def _separable(array: NDArray[Any], matrix: Affine, shape: Shape) -> NDArray[Any]:
    picks, valid = [], []
    for axis, n in enumerate(shape):
        index = _round(np.arange(n) * matrix[axis, axis] + matrix[axis, 3])
        inside = (index >= 0) & (index < array.shape[axis])
        picks.append(index[inside])
        valid.append(np.flatnonzero(inside))
    out = np.zeros(shape, array.dtype)
    if all(len(v) for v in valid):
        z, y, x = (slice(v[0], v[-1] + 1) for v in valid)
        out[z, y, x] = array[np.ix_(*picks)]
    return out


def _general(array: NDArray[Any], matrix: Affine, shape: Shape) -> NDArray[Any]:
    out = np.zeros(shape, array.dtype)
    y, x = np.mgrid[: shape[1], : shape[2]]
    plane = matrix[:3, 1, None, None] * y + matrix[:3, 2, None, None] * x + matrix[:3, 3, None, None]
    limits = np.array(array.shape)[:, None, None]
    for z in range(shape[0]):
        index = _round(plane + z * matrix[:3, 0, None, None])
        inside = ((index >= 0) & (index < limits)).all(axis=0)
        out[z][inside] = array[tuple(index[:, inside])]
    return out


def _round(values: NDArray[np.float64]) -> NDArray[np.int64]:
    # Rounded first, so that rounding noise doesn't decide where half-way points go.
    return np.floor(np.round(values, 6) + 0.5).astype(np.int64)


def _corners(shape: Shape, margin: float = 0.0) -> NDArray[np.float64]:
    """(4, 8): the corner voxels' centres, or with ``margin`` 0.5 the box's corners."""
    ends = [(-margin, n - 1 + margin) for n in shape]
    return np.array([[*corner, 1.0] for corner in product(*ends)]).T


def itk_place(affine: Affine) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return origin (x,y,z) in mm and direction (3×3, a column an axis x, y, z) of a grid, as ITK has them."""
    xyz = affine[:3, [2, 1, 0]]
    return affine[:3, 3].copy(), xyz / np.sqrt((xyz**2).sum(axis=0))


def span_text(affine: Affine, shape: Shape) -> str:
    """Return where a grid lies, in whole mm along LPS x, y, z."""
    ends = np.array([affine[:3, 3], affine[:3, 3] + affine[:3, :3] @ (np.array(shape) - 1)])
    return ", ".join(
        f"{low:.0f}..{high:.0f}" for low, high in zip(ends.min(axis=0), ends.max(axis=0), strict=True)
    )
