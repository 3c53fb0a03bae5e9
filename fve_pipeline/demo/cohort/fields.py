"""Building blocks of the phantoms: coordinates, ellipsoids and smooth random fields over arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Field", "Grid", "ellipsoid", "grid", "smooth_noise"]

Field = NDArray[Any]
Grid = tuple[Field, Field, Field]


def grid(shape: tuple[int, int, int], *, warp: float = 0.0, rng: np.random.Generator | None = None) -> Grid:
    """Coordinates (z, y, x) of voxel centres, −1..1 along each axis, float32.

    ``warp`` bends them by a smooth random field of about that size, so that no two subjects are alike.
    """
    axes = [(np.arange(n, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / n) - 1 for n in shape]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    if rng is None or warp == 0:
        return z, y, x
    return (
        z + warp * smooth_noise(shape, 3, rng),
        y + warp * smooth_noise(shape, 3, rng),
        x + warp * smooth_noise(shape, 3, rng),
    )


def ellipsoid(coordinates: Grid, centre: Sequence[float] | Field, radii: Sequence[float] | Field) -> Field:
    """Squared distance from ``centre`` (z, y, x) in units of ``radii``: under 1 inside."""
    z, y, x = (((c - m) / r) ** 2 for c, m, r in zip(coordinates, centre, radii, strict=True))
    squared: Field = z + y + x
    return squared


def smooth_noise(shape: tuple[int, int, int], knots: int, rng: np.random.Generator) -> Field:
    """A smooth random field (z, y, x) float32, mean about 0 and deviation about 1.

    Normal values on ``knots`` points an axis, interpolated: cubic in plane, linear along z.
    """
    depth, height, width = shape
    coarse = rng.standard_normal((knots, knots, knots), dtype=np.float32)
    planes = np.stack([cv2.resize(p, (width, height), interpolation=cv2.INTER_CUBIC) for p in coarse])
    at = np.linspace(0, knots - 1, depth, dtype=np.float32)
    low = np.minimum(at.astype(np.intp), knots - 2)
    part = (at - low)[:, None, None]
    field: Field = planes[low] * (1 - part) + planes[low + 1] * part
    return field
