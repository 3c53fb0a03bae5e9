"""Surface elements of a binary mask: where its surface runs, and how many mm² lie there.

A surface element sits between eight voxels that are neither all inside nor all outside. Its area is that of
the classic marching-cubes triangles around the corners of the smaller party (inside, or outside). Corners
that touch along an edge of the little cube form one patch, others are patches of their own, so the 256 cases
come down to six shapes of patch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

__all__ = ["Surface", "surface", "surfel_areas"]

Corner = tuple[int, int, int]
_CORNERS: tuple[Corner, ...] = tuple(product((0, 1), repeat=3))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Surface:
    """Surface elements of a mask.

    ``points`` (n, 3) int64: element (z, y, x) lies at the lower corner of voxel (z, y, x). ``areas`` (n,)
    float64 in mm².
    """

    points: NDArray[np.int64]
    areas: NDArray[np.float64]


def surface(
    mask: NDArray[np.bool_], spacing: tuple[float, float, float], start: tuple[int, int, int] = (0, 0, 0)
) -> Surface:
    """Return the surface elements of a mask; outside the array counts as background.

    Parameters
    ----------
    mask : (D, H, W) bool
    spacing : size of a voxel along each array axis, mm
    start : where the mask's first voxel lies in the whole volume, when it is a crop; the elements are those
        of the whole volume, since nothing of the mask lies outside its own bounding box
    """
    depth, height, width = mask.shape
    padded = np.pad(mask, 1).view(np.uint8)
    code = np.zeros((depth + 1, height + 1, width + 1), np.uint8)
    for bit, (z, y, x) in enumerate(_CORNERS):
        code |= padded[z : z + depth + 1, y : y + height + 1, x : x + width + 1] << np.uint8(bit)
    # 0 and 255 become 255 and 254, so that one comparison finds the surface.
    flat = np.flatnonzero((code - np.uint8(1)) < np.uint8(254))
    points = np.stack(np.unravel_index(flat, code.shape), axis=1).astype(np.int64)
    points += start
    return Surface(points, surfel_areas(spacing)[code.ravel()[flat]])


@lru_cache(maxsize=64)
def surfel_areas(spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Area in mm² for each of the 256 patterns of inside (bit set) and outside around one element.

    Bit b of the pattern is the voxel at corner ``(b >> 2 & 1, b >> 1 & 1, b & 1)`` (z, y, x).
    """
    areas = np.zeros(256)
    for pattern in range(1, 255):
        inside = {corner for bit, corner in enumerate(_CORNERS) if pattern >> bit & 1}
        fewer = inside if len(inside) <= 4 else set(_CORNERS) - inside
        areas[pattern] = sum(_patch_area(patch, spacing) for patch in _patches(fewer))
    areas.flags.writeable = False
    return areas


def _patches(corners: set[Corner]) -> list[list[Corner]]:
    """Return groups of corners that hang together along edges of the cube."""
    left, groups = set(corners), []
    while left:
        group = [left.pop()]
        for corner in group:
            near = {other for other in left if _apart(corner, other) == 1}
            left -= near
            group.extend(near)
        groups.append(group)
    return groups


def _apart(a: Corner, b: Corner) -> int:
    return sum(i != j for i, j in zip(a, b, strict=True))


def _patch_area(patch: list[Corner], spacing: tuple[float, float, float]) -> float:
    dz, dy, dx = spacing
    weight = np.array([dy * dx, dz * dx, dz * dy])  # mm² of the voxel face across each axis
    diagonal = float(np.sqrt((weight**2).sum()))
    links = [(a, b) for i, a in enumerate(patch) for b in patch[i + 1 :] if _apart(a, b) == 1]
    axes = [next(k for k in range(3) if a[k] != b[k]) for a, b in links]

    def along(axis: int) -> float:
        """Return a strip parallel to one axis, cutting the corner between the two others."""
        return float(np.sqrt((np.delete(weight, axis) ** 2).sum()))

    if len(patch) == 1:
        return diagonal / 8
    if len(patch) == 2:
        return along(axes[0]) / 2
    if len(patch) == 3:
        return float(weight[3 - sum(axes)]) / 2 + diagonal * 3 / 8
    if len(links) == 4:  # a whole face
        return float(weight[3 - sum(set(axes))])
    degree = [sum(corner in link for link in links) for corner in patch]
    if max(degree) == 3:  # a corner and its three neighbours
        return diagonal * 3 / 4
    tips = {corner for corner, n in zip(patch, degree, strict=True) if n == 1}
    ends = [axis for axis, link in zip(axes, links, strict=True) if tips.intersection(link)]
    return diagonal / 2 + sum(along(axis) for axis in ends) / 4  # a path of four
