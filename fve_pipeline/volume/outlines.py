"""Voxels -> planar contours: half-way between voxels inside and outside, holes joined to their rims by keyholes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["outlines"]


def outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return the closed contours round the pixels of a mask (row, column), each (n, 2) in pixels, centres at whole numbers.

    They pass half-way between the centres of pixels inside and outside, so that filling them gives back the mask. A
    hole and its rim are one contour, which goes there and back in one line (a keyhole), as DICOM has it.
    """
    from contourpy import FillType, contour_generator

    if not mask.any():
        return []
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    low = np.array([rows[0] - 1, columns[0] - 1])
    inside = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1).astype(np.float64)
    traced: Any = contour_generator(z=inside, fill_type=FillType.OuterOffset).filled(0.5, 2.0)
    found = []
    for points, offsets in zip(*traced, strict=True):
        rim, *holes = [points[a : b - 1, ::-1] for a, b in itertools.pairwise(offsets)]
        for hole in holes:
            rim = _keyhole(rim, hole)
        found.append(rim + low)
    return found


def _keyhole(rim: NDArray[np.float64], hole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return one contour of both, joined where they are nearest."""
    apart = ((rim[:, None] - hole[None]) ** 2).sum(axis=2)
    a, b = np.unravel_index(int(apart.argmin()), apart.shape)
    return np.concatenate([rim[: a + 1], hole[b:], hole[: b + 1], rim[a:]])
