"""Distances between two surfaces, and what is read off them: NSD and HD95."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from fve_pipeline.metrics.surfels import Surface

__all__ = ["SurfaceDistances", "hd95", "nsd", "surface_distances"]

# When a transform of the box is faster than a tree: elements a voxel above which building one costs as much;
# pairs of elements a voxel above which searching may, and does if they lie so many voxels apart on average.
_DENSE = 1 / 8
_MANY = 32
_FAR = 8
_SAMPLE = 100


@dataclass(frozen=True)
class SurfaceDistances:
    """For each element of a surface, the distance to the nearest element of the other, with areas.

    Distances in mm, areas in mm²; a distance to an empty surface is inf.
    """

    truth: NDArray[np.float64]
    truth_areas: NDArray[np.float64]
    pred: NDArray[np.float64]
    pred_areas: NDArray[np.float64]


def surface_distances(truth: Surface, pred: Surface, spacing: tuple[float, float, float]) -> SurfaceDistances:
    """Distances between two surfaces whose elements are counted from the same voxel.

    Two surfaces that run side by side are searched with a tree, in a tenth of the time that a distance
    transform of their box takes; noise, and masks far from each other, with the transform. Either way a
    distance comes from a whole-voxel offset, so that a tolerance of exactly n voxels is met exactly.
    """
    return SurfaceDistances(
        _nearest(truth.points, pred.points, spacing),
        truth.areas,
        _nearest(pred.points, truth.points, spacing),
        pred.areas,
    )


def _nearest(
    points: NDArray[np.int64], others: NDArray[np.int64], spacing: tuple[float, float, float]
) -> NDArray[np.float64]:
    if len(points) == 0 or len(others) == 0:
        return np.full(len(points), np.inf)
    low = np.minimum(points.min(axis=0), others.min(axis=0))
    box = np.maximum(points.max(axis=0), others.max(axis=0)) - low + 1
    voxels = int(box.prod())
    if len(others) > voxels * _DENSE:
        return _by_transform(points - low, others - low, box, spacing)
    scale = np.asarray(spacing, np.float64)
    tree = cKDTree(others * scale, balanced_tree=False, compact_nodes=False)
    if len(points) * len(others) > voxels * _MANY:
        some, _ = tree.query(points[:: len(points) // _SAMPLE + 1] * scale)
        if some.mean() > _FAR * scale.mean():
            return _by_transform(points - low, others - low, box, spacing)
    _, index = tree.query(points * scale)
    offset = (points - others[index]) * scale
    distance: NDArray[np.float64] = np.sqrt((offset * offset).sum(axis=1))
    return distance


def _by_transform(
    points: NDArray[np.int64],
    others: NDArray[np.int64],
    box: NDArray[np.int64],
    spacing: tuple[float, float, float],
) -> NDArray[np.float64]:
    away = np.ones(box, np.bool_)
    away[tuple(others.T)] = False
    far = ndimage.distance_transform_edt(away, sampling=spacing)
    distance: NDArray[np.float64] = far[tuple(points.T)]
    return distance


def nsd(distances: SurfaceDistances, tolerance: float = 2.0) -> float:
    """Normalised surface Dice: the share of both surfaces that lies within ``tolerance`` mm of the other.

    NaN if both masks are empty, 0 if one is.
    """
    total = distances.truth_areas.sum() + distances.pred_areas.sum()
    if total == 0:
        return float("nan")
    near = distances.truth_areas[distances.truth <= tolerance].sum()
    near += distances.pred_areas[distances.pred <= tolerance].sum()
    return float(near / total)


def hd95(distances: SurfaceDistances) -> float:
    """Return the distance in mm within which 95 % of a surface's area lies of the other; the worse direction.

    NaN if a mask is empty: no distance exists then, and none is made up.
    """
    if len(distances.truth) == 0 or len(distances.pred) == 0:
        return float("nan")
    forth = _percentile(distances.truth, distances.truth_areas)
    back = _percentile(distances.pred, distances.pred_areas)
    return max(forth, back)


def _percentile(distance: NDArray[np.float64], areas: NDArray[np.float64]) -> float:
    order = np.argsort(distance, kind="stable")
    covered = np.cumsum(areas[order])
    # A share of exactly 95 % counts, whatever the rounding of the sum.
    index = int(np.searchsorted(covered, 0.95 * covered[-1] * (1 - 1e-12)))
    return float(distance[order[index]])
