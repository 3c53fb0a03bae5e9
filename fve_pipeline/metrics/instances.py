"""Instance scores: F1 at IoU ≥ 0.5 with Hungarian matching, and the Dice of the matched pairs."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from fve_pipeline.metrics.classes import Convention
from fve_pipeline.metrics.overlap import Labels, Overlap, overlap

__all__ = ["InstanceScore", "match_instances", "split_components"]


@dataclass(frozen=True)
class InstanceScore:
    """What matching the instances of one case gave.

    ``f1`` is NaN without any instance in truth and prediction (0 under ``challenge``); ``dsc_tp`` is the mean
    Dice of the matched pairs, 0 if there is none (NaN where ``f1`` is).
    """

    f1: float
    dsc_tp: float
    matched: int
    truth: int
    pred: int


def split_components(pred: Labels, convention: Convention = "physical") -> Labels:
    """Return a map of one id with one id a 6-connected component; a map of several ids is returned as it is.

    ``challenge``, as the official evaluator, of a uint8 map: split is what has two values, without a background
    too, and components are counted in uint8 from the highest value on, so that of more than 254 some share a
    number and some are lost to background.
    """
    ids = np.unique(pred)
    if convention == "challenge":
        if len(ids) != 2:
            return pred
        parts = cc3d.connected_components(pred, connectivity=6, out_dtype=np.uint32)
        return np.where(parts > 0, parts + np.uint32(ids[-1]), 0).astype(np.uint8)
    if len(ids[ids > 0]) != 1:
        return pred
    components: NDArray[np.unsignedinteger] = cc3d.connected_components(pred != 0, connectivity=6)
    return components


def match_instances(
    truth: Labels, pred: Labels, *, threshold: float = 0.5, convention: Convention = "physical"
) -> InstanceScore:
    """Match instances one to one so that most pairs reach the IoU threshold, and then most IoU.

    Parameters
    ----------
    truth, pred : (D, H, W) unsigned integers
        One id an instance, 0 background; ids need not be consecutive.
    convention
        Without any instance on both sides scores are NaN; under ``challenge`` they are 0.

    Examples
    --------
    >>> truth = np.array([[[1, 1, 0, 2]]], np.uint8)
    >>> pred = np.array([[[5, 0, 0, 9]]], np.uint8)  # half of the first, all of the second
    >>> found = match_instances(truth, pred, threshold=0.6)
    >>> found.truth, found.pred, found.matched
    (2, 2, 1)
    """
    found = _score(overlap(truth, pred), threshold)
    if convention == "challenge" and found.truth + found.pred == 0:
        return InstanceScore(0.0, 0.0, 0, 0, 0)
    return found


def _score(table: Overlap, threshold: float) -> InstanceScore:
    truth_sizes, pred_sizes = table.truth_sizes(), table.pred_sizes()
    n_truth, n_pred = len(truth_sizes), len(pred_sizes)
    if n_truth + n_pred == 0:
        return InstanceScore(float("nan"), float("nan"), 0, 0, 0)
    row = {label: i for i, label in enumerate(truth_sizes)}
    column = {label: i for i, label in enumerate(pred_sizes)}
    iou, dice = np.zeros((2, n_truth, n_pred))
    for (t, p), shared in table.shared().items():
        both = truth_sizes[t] + pred_sizes[p]
        iou[row[t], column[p]] = shared / (both - shared)
        dice[row[t], column[p]] = 2 * shared / both
    cost = -(iou >= threshold).astype(np.float64) - iou / (2 * max(1, min(n_truth, n_pred)))
    rows, columns = linear_sum_assignment(cost)
    good = iou[rows, columns] >= threshold
    matched = int(good.sum())
    dsc_tp = float(dice[rows, columns][good].mean()) if matched else 0.0
    return InstanceScore(2 * matched / (n_truth + n_pred), dsc_tp, matched, n_truth, n_pred)
