"""Scores of the classes of one case: DSC, NSD and HD95, under either convention."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from fve_pipeline.metrics.distances import hd95, nsd, surface_distances
from fve_pipeline.metrics.overlap import Box, Labels, boxes, overlap
from fve_pipeline.metrics.surfels import Surface, surface

__all__ = ["CONVENTIONS", "ClassScore", "Convention", "Spacing", "mean_score", "score_classes"]

Convention = Literal["challenge", "physical"]
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class ClassScore:
    """One class of one case. ``hd95`` in mm, NaN where truth or prediction has no such voxel."""

    class_id: int
    dsc: float
    nsd: float
    hd95: float
    truth_voxels: int
    pred_voxels: int


def score_classes(
    truth: Labels,
    pred: Labels,
    spacing: Spacing,
    *,
    class_ids: Iterable[int] | None = None,
    convention: Convention = "physical",
    tolerance: float = 2.0,
) -> list[ClassScore]:
    """Score each class of a label map.

    Parameters
    ----------
    truth, pred : (D, H, W) unsigned integers
        Label maps on one grid, 0 background.
    spacing : (z, y, x) mm
    class_ids
        The classes that were asked for; None for all.
    convention
        ``physical``: classes of truth or prediction, distances along the right axes. ``challenge``, as the
        official evaluator: classes of the truth only, without its lowest value (taken for background even
        where it is a class), and the spacing in (x, y, z) order on (z, y, x) arrays.
    tolerance : mm, for NSD
    """
    table = overlap(truth, pred)
    truth_sizes, pred_sizes, shared = table.truth_sizes(), table.pred_sizes(), table.shared()
    scored = set(truth_sizes)
    if convention == "challenge":
        scored.discard(int(truth.min(initial=np.iinfo(truth.dtype).max)))
        spacing = (spacing[2], spacing[1], spacing[0])
    else:
        scored |= set(pred_sizes)
    if class_ids is not None:
        scored &= set(class_ids)
    truth_boxes, pred_boxes = boxes(truth), boxes(pred)
    scores = []
    for label in sorted(scored):
        n_truth, n_pred = truth_sizes.get(label, 0), pred_sizes.get(label, 0)
        distances = surface_distances(
            _surface_of(label, truth, truth_boxes.get(label), spacing),
            _surface_of(label, pred, pred_boxes.get(label), spacing),
            spacing,
        )
        dsc = 2 * shared.get((label, label), 0) / (n_truth + n_pred)
        scores.append(ClassScore(label, dsc, nsd(distances, tolerance), hd95(distances), n_truth, n_pred))
    return scores


def mean_score(values: Iterable[float], convention: Convention) -> float:
    """Return the mean over a case's classes, leaving out NaN; NaN if nothing is left.

    ``challenge`` rounds to four decimals, as the official evaluator does a case.
    """
    defined = [value for value in values if not np.isnan(value)]
    if not defined:
        return float("nan")
    mean = float(np.mean(defined))
    return round(mean, 4) if convention == "challenge" else mean


def _surface_of(label: int, labels: Labels, box: Box | None, spacing: Spacing) -> Surface:
    if box is None:
        return Surface(np.empty((0, 3), np.int64), np.empty(0))
    z, y, x = box
    return surface(labels[box] == label, spacing, (z.start, y.start, x.start))
