"""Planar contours in the patient's space -> voxels: even-odd filling, slices between contours by signed distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from fve_pipeline.volume.geometry import resample_nearest

__all__ = ["NotParallelError", "fill_polygons", "fill_structure"]

Affine = NDArray[np.float64]
Mask = NDArray[np.bool_]

_FLAT = 0.2  # of a voxel: what a contour may leave its plane by, and a plane's contours one another
_ON_SLICE = 0.05  # of a voxel: a contour this near to a slice is that slice's
_BRIDGED = 1.5  # times the usual distance of neighbouring contours; a wider gap is a gap of the structure
_MOST_CELLS = 1 << 27  # of the grid along contours that are askew to the image


class NotParallelError(ValueError):
    """Contours of one structure that do not lie in parallel planes."""


def fill_polygons(polygons: Sequence[NDArray[np.float64]], shape: tuple[int, int]) -> Mask:
    """Return the pixels (row, column) whose centres lie inside of closed polygons, by the even-odd rule.

    ``polygons`` are (n, 2), in (row, column), pixel centres at whole numbers. What lies in two of them is a hole, and
    a channel that is drawn there and back (a keyhole) encloses nothing. A centre on an edge belongs to one side alone,
    so that shapes that touch neither overlap nor leave a gap.

    >>> square = np.array([[0.5, 0.5], [0.5, 2.5], [2.5, 2.5], [2.5, 0.5]])
    >>> int(fill_polygons([square], (4, 4)).sum())
    4
    """
    rows, columns = shape
    crossed = np.zeros(rows * (columns + 1), np.int64)
    for polygon in polygons:
        points = np.round(polygon, 6)  # so that rounding noise does not decide where edges go through centres
        ends = np.roll(points, -1, axis=0)
        first = np.clip(np.ceil(np.minimum(points[:, 0], ends[:, 0])), 0, rows).astype(np.int64)
        stop = np.clip(np.ceil(np.maximum(points[:, 0], ends[:, 0])), 0, rows).astype(np.int64)
        counts = stop - first
        edge = np.repeat(np.arange(len(points)), counts)
        row = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
        share = (row - points[edge, 0]) / (ends[edge, 0] - points[edge, 0])
        at = points[edge, 1] + share * (ends[edge, 1] - points[edge, 1])
        column = np.clip(np.ceil(np.round(at, 6)), 0, columns).astype(np.int64)
        crossed += np.bincount(row * (columns + 1) + column, minlength=crossed.size)
    odd = (crossed & 1).astype(np.uint8).reshape(rows, columns + 1)
    inside: Mask = np.bitwise_xor.accumulate(odd, axis=1)[:, :columns].astype(bool)
    return inside


def fill_structure(
    contours: Sequence[NDArray[np.float64]], affine: Affine, shape: tuple[int, int, int]
) -> tuple[Mask, list[str]]:
    """Return the voxels of a structure on a grid, bool (z,y,x), and what had to be assumed.

    ``contours`` are closed planar ones, (n, 3) in LPS mm; ``affine`` maps the grid's (z,y,x,1) to LPS mm. Contours
    may lie across any axis of the grid, or askew to all of them. A slice that has contours is filled from them; one
    between two planes of contours takes what lies between them by signed distance, and one beyond the last plane
    belongs to the structure to half the distance that its planes have. Planes further apart than 1.5 times that are
    two parts of the structure.

    Raises NotParallelError for contours in planes that are not parallel.
    """
    back = np.linalg.inv(affine)
    indices = [contour @ back[:3, :3].T + back[:3, 3] for contour in contours]
    spreads = np.array([np.ptp(points, axis=0) for points in indices]).max(axis=0)
    axis = int(np.argmin(spreads))
    if spreads[axis] > _FLAT:
        return _fill_askew(contours, affine, shape)
    order = (axis, *(n for n in range(3) if n != axis))
    spacing = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))[list(order)]
    turned = [points[:, order] for points in indices]
    depth, height, width = (shape[n] for n in order)
    mask, notes = _fill_stack(turned, (depth, height, width), (spacing[0], spacing[1], spacing[2]))
    return np.ascontiguousarray(np.moveaxis(mask, 0, axis)), notes


def _fill_stack(
    contours: Sequence[NDArray[np.float64]], shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> tuple[Mask, list[str]]:
    """Fill contours across the first axis of a grid; points are its indices."""
    out = np.zeros(shape, bool)
    notes: list[str] = []
    places, planes = _planes(contours)
    gaps = np.diff(places)
    usual = float(np.median(gaps)) if len(gaps) else 1.0
    wide = gaps > _BRIDGED * usual
    if wide.any():
        sizes = ", ".join(f"{gap * spacing[0]:.2f}" for gap in gaps[wide][:3])
        notes.append(
            f"{int(wide.sum())} gaps between contours ({sizes} mm, usually {usual * spacing[0]:.2f}) were left empty"
        )
    for k in range(max(0, int(places[0] - usual)), min(shape[0], int(places[-1] + usual) + 2)):
        near = int(np.abs(places - k).argmin())
        if abs(places[near] - k) <= _ON_SLICE:
            out[k] = fill_polygons(planes[near], shape[1:])
            continue
        above = int(np.searchsorted(places, k))
        if 0 < above < len(places) and not wide[above - 1]:
            low, high = (fill_polygons(planes[n], shape[1:]) for n in (above - 1, above))
            share = (k - places[above - 1]) / gaps[above - 1]
            out[k] = _between(low, high, share, spacing[1:])
        elif -0.5 * usual <= round(k - places[near], 6) < 0.5 * usual:
            out[k] = fill_polygons(planes[near], shape[1:])
    outside = sum(not -0.5 <= place <= shape[0] - 0.5 for place in places)
    if outside:
        notes.append(f"{outside} of {len(places)} planes of contours lie outside of the image")
    return out, notes


def _planes(
    contours: Sequence[NDArray[np.float64]],
) -> tuple[NDArray[np.float64], list[list[NDArray[np.float64]]]]:
    """Contours by the plane that they lie in: its place along the first axis, and their other two coordinates."""
    at = np.array([points[:, 0].mean() for points in contours])
    places: list[float] = []
    planes: list[list[NDArray[np.float64]]] = []
    for n in np.argsort(at, kind="stable"):
        if not places or at[n] - places[-1] > _ON_SLICE:
            places.append(float(at[n]))
            planes.append([])
        planes[-1].append(contours[n][:, 1:])
    return np.array(places), planes


def _between(low: Mask, high: Mask, share: float, spacing: tuple[float, float]) -> Mask:
    """Return the shape a ``share`` of the way from one to the other: where the mean of their signed distances is inside."""
    out = np.zeros_like(low)
    either = low | high
    if not either.any():
        return out
    rows, columns = (np.flatnonzero(either.any(axis=n)) for n in (1, 0))
    box = (
        slice(max(rows[0] - 1, 0), rows[-1] + 2),
        slice(max(columns[0] - 1, 0), columns[-1] + 2),
    )
    out[box] = (1 - share) * _depth(low[box], spacing) + share * _depth(high[box], spacing) > 0
    return out


def _depth(mask: Mask, spacing: tuple[float, float]) -> NDArray[np.float64]:
    """Signed distance in mm to the edge, positive inside; an absent shape is far off."""
    if not mask.any():
        return np.full(mask.shape, -np.hypot(mask.shape[0] * spacing[0], mask.shape[1] * spacing[1]))
    inside: Any = distance_transform_edt(np.pad(mask, 1), sampling=spacing)
    outside: Any = distance_transform_edt(~np.pad(mask, 1), sampling=spacing)
    half = min(spacing) / 2  # an edge lies between pixels
    signed: NDArray[np.float64] = np.where(inside > 0, inside - half, half - outside)[1:-1, 1:-1]
    return signed


def _fill_askew(
    contours: Sequence[NDArray[np.float64]], affine: Affine, shape: tuple[int, int, int]
) -> tuple[Mask, list[str]]:
    """Fill contours on a grid of their own, of half the image's voxels, and take the image's voxels from there."""
    normal = _normal(contours)
    fine = float(np.sqrt((affine[:3, :3] ** 2).sum(axis=0)).min()) / 2
    leaves = max(float(np.ptp(points @ normal)) for points in contours)
    if leaves > 2 * fine * _FLAT:
        msg = f"its contours do not lie in parallel planes (off by {leaves:.2f} mm)"
        raise NotParallelError(msg)
    across = affine[:3, 2] - normal * (affine[:3, 2] @ normal)
    if np.linalg.norm(across) < 1e-3 * np.linalg.norm(affine[:3, 2]):
        across = affine[:3, 1] - normal * (affine[:3, 1] @ normal)
    across /= np.linalg.norm(across)
    axes = np.stack([normal, np.cross(normal, across), across], axis=1)
    inside = np.concatenate(contours) @ axes
    planes = np.unique(np.round(inside[:, 0], 2))
    # Room for half a distance of planes on both sides.
    room = np.array([np.diff(planes).max() if len(planes) > 1 else 2 * fine, fine, fine])
    low, high = inside.min(axis=0) - room, inside.max(axis=0) + room
    step = max(fine, float(np.cbrt(np.prod(high - low) / _MOST_CELLS)))
    own = np.eye(4)
    own[:3, :3] = axes * step
    # The first plane lies on a slice.
    low[0] = inside[:, 0].min() - np.ceil(room[0] / step) * step
    own[:3, 3] = axes @ low
    size = np.ceil((high - low) / step).astype(int) + 1
    back = np.linalg.inv(own)
    points = [contour @ back[:3, :3].T + back[:3, 3] for contour in contours]
    mask, notes = _fill_stack(points, (int(size[0]), int(size[1]), int(size[2])), (step, step, step))
    notes.append("its contours lie askew to the image's axes; filled on a grid of their own, then nearest")
    return resample_nearest(mask, own, affine, shape).astype(bool), notes


def _normal(contours: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the direction across contours: the mean of their area vectors, each the right way round."""
    total = np.zeros(3)
    for points in contours:
        centred = points - points.mean(axis=0)
        area = np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0)
        total += area if area @ total >= 0 else -area
    length = np.linalg.norm(total)
    if not length:
        msg = "its contours enclose no area"
        raise NotParallelError(msg)
    return np.asarray(total / length)
