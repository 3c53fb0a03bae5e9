"""A second implementation to hold the fast one against: whole volumes, one class at a time, no short cuts.

Surfaces are found voxel by voxel, their areas by scikit-image's marching cubes, distances by a distance
transform of the whole volume.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
import pytest
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

pytest.importorskip("skimage", reason="the reference's marching cubes are scikit-image's")

from skimage.measure import marching_cubes, mesh_surface_area


@lru_cache
def areas_by_marching_cubes(spacing: tuple[float, float, float]) -> np.ndarray:
    """Area of each of the 256 patterns; bit b is corner (b >> 2 & 1, b >> 1 & 1, b & 1)."""
    areas = np.zeros(256)
    for pattern in range(1, 255):
        cube = np.array([pattern >> b & 1 for b in range(8)], float).reshape(2, 2, 2)
        if cube.sum() > 4:  # the table of the classic method closes the smaller side
            cube = 1 - cube
        vertices, faces, _, _ = marching_cubes(cube, 0.5, spacing=spacing, method="lorensen")
        areas[pattern] = mesh_surface_area(vertices.astype(float), faces)
    return areas


def surface_map(mask: np.ndarray) -> np.ndarray:
    """Pattern at each lower corner, (D+1, H+1, W+1)."""
    padded = np.pad(mask, 1)
    code = np.zeros(np.array(mask.shape) + 1, int)
    d, h, w = code.shape
    for bit, (z, y, x) in enumerate(product((0, 1), repeat=3)):
        code += padded[z : z + d, y : y + h, x : x + w].astype(int) << bit
    return code


def distances_and_areas(
    truth: np.ndarray, pred: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(truth to pred, truth areas, pred to truth, pred areas)."""
    codes = [surface_map(mask) for mask in (truth, pred)]
    on = [(code != 0) & (code != 255) for code in codes]
    far = [
        ndimage.distance_transform_edt(~s, sampling=spacing) if s.any() else np.full(s.shape, np.inf)
        for s in on
    ]
    area = areas_by_marching_cubes(spacing)
    return far[1][on[0]], area[codes[0][on[0]]], far[0][on[1]], area[codes[1][on[1]]]


def dsc(truth: np.ndarray, pred: np.ndarray) -> float:
    return float(2 * (truth & pred).sum() / (truth.sum() + pred.sum()))


def nsd(truth: np.ndarray, pred: np.ndarray, spacing: tuple[float, float, float], tolerance: float) -> float:
    a, area_a, b, area_b = distances_and_areas(truth, pred, spacing)
    if area_a.sum() + area_b.sum() == 0:
        return float("nan")
    return float(
        (area_a[a <= tolerance].sum() + area_b[b <= tolerance].sum()) / (area_a.sum() + area_b.sum())
    )


def hd95(truth: np.ndarray, pred: np.ndarray, spacing: tuple[float, float, float]) -> float:
    a, area_a, b, area_b = distances_and_areas(truth, pred, spacing)
    if len(a) == 0 or len(b) == 0:
        return float("nan")
    return max(_at_share(a, area_a), _at_share(b, area_b))


def _at_share(distance: np.ndarray, area: np.ndarray) -> float:
    total = area.sum()
    for value in np.unique(distance):
        if area[distance <= value].sum() >= 0.95 * total * (1 - 1e-12):
            return float(value)
    raise AssertionError


def f1_brute_force(truth: np.ndarray, pred: np.ndarray) -> tuple[float, float]:
    """F1 and mean Dice of pairs; above IoU 0.5 a match is the only one possible, so none is searched."""
    pairs = []
    t_ids, p_ids = (np.unique(m[m > 0]) for m in (truth, pred))
    for t in t_ids:
        for p in p_ids:
            a, b = truth == t, pred == p
            if (a & b).sum() / (a | b).sum() > 0.5:
                pairs.append(dsc(a, b))
    return 2 * len(pairs) / (len(t_ids) + len(p_ids)), float(np.mean(pairs)) if pairs else 0.0


def official_components(pred: np.ndarray) -> np.ndarray:
    """The official evaluator's numbers of components, one at a time, in the order of their first voxels."""
    left, result, number = pred.copy(), pred.copy(), 0
    for place in np.argwhere(pred):
        if left[tuple(place)]:
            number += 1
            parts, _ = ndimage.label(pred == pred[tuple(place)])
            own = parts == parts[tuple(place)]
            left[own], result[own] = 0, (number + int(pred.max())) % 256
    return result


def official_f1(truth: np.ndarray, pred: np.ndarray) -> float:
    """The official evaluator's F1, step by step as it goes: casts, components, numbers without gaps, pairs, counts."""
    truth, pred = truth.astype(np.uint8), pred.astype(np.uint8)
    if len(np.unique(pred)) == 2:
        pred = official_components(pred)
    t_ids, p_ids = (np.unique(m[m > 0]) for m in (truth, pred))
    if not len(p_ids):
        return 0.0
    iou = np.array(
        [
            [((truth == t) & (pred == p)).sum() / ((truth == t) | (pred == p)).sum() for p in p_ids]
            for t in t_ids
        ]
    )
    if not len(t_ids):
        return 0.0
    rows, columns = linear_sum_assignment(-(iou >= 0.5).astype(float) - iou / (2 * min(iou.shape)))
    matched = int((iou[rows, columns] >= 0.5).sum())
    precision, recall = matched / len(p_ids), matched / len(t_ids)
    return 2 * precision * recall / (precision + recall) if matched else 0.0
