"""Scores of findings that are asked for by their sentences, as ReXGroundingCT's board names them.

Its page (rexrank.ai/ReXGroundingCT) says: global Dice is the mean over findings; the hit rate is the share of findings with
Dice of at least 0.1; an instance is found where its Dice is at least 0.2, and precision, recall and F1 are those of
instances over all findings. It does not say how instances are told apart and matched: here they are 6-connected components,
matched one to one so that most are found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.metrics.instances import match_instances, split_components

__all__ = ["FindingScore", "GroundingScore", "ground", "score_finding"]

HIT = 0.1
# Dice of 0.2 as the ratio of what is shared to what either holds: d / (2 - d).
_FOUND = 1 / 9


@dataclass(frozen=True)
class FindingScore:
    """One finding: Dice, and how many instances there are, were predicted, and were ``matched``."""

    dice: float
    truth: int
    pred: int
    matched: int


@dataclass(frozen=True)
class GroundingScore:
    """All findings: mean ``dice``, ``hit_rate``, and of instances ``precision``, ``recall`` and ``f1``.

    NaN where there is nothing to divide by.
    """

    findings: int
    dice: float
    hit_rate: float
    precision: float
    recall: float
    f1: float


def score_finding(truth: NDArray[np.generic], pred: NDArray[np.generic]) -> FindingScore:
    """Score one finding by its mask and the prediction, (z,y,x), non-zero where it is. Dice of nothing by nothing is 1.

    Examples
    --------
    >>> truth = np.array([[[1, 1, 0, 0, 1]]])
    >>> pred = np.array([[[1, 0, 0, 1, 0]]])  # half of the first instance, and something beside the second
    >>> score_finding(truth, pred)
    FindingScore(dice=0.4, truth=2, pred=2, matched=1)
    """
    there, found = truth != 0, pred != 0
    both = int(there.sum()) + int(found.sum())
    dice = 2 * int((there & found).sum()) / both if both else 1.0
    parts = (split_components(mask.astype(np.uint8)) for mask in (there, found))
    matched = match_instances(*parts, threshold=_FOUND)
    return FindingScore(dice, matched.truth, matched.pred, matched.matched)


def ground(scores: Iterable[FindingScore]) -> GroundingScore:
    """Return the board's five numbers over findings: instances are counted over all of them together."""
    held = list(scores)
    truth, pred, matched = (sum(getattr(one, name) for one in held) for name in ("truth", "pred", "matched"))
    dice = [one.dice for one in held]
    return GroundingScore(
        len(held),
        _ratio(sum(dice), len(held)),
        _ratio(sum(one >= HIT for one in dice), len(held)),
        _ratio(matched, pred),
        _ratio(matched, truth),
        _ratio(2 * matched, truth + pred),
    )


def _ratio(part: float, whole: int) -> float:
    return part / whole if whole else float("nan")
