"""Herding inside strata: chosen cases whose mean descriptor is the stratum's."""

from __future__ import annotations

from typing import Any

import numpy as np

from fve_pipeline.coreset.method import Choice, SelectionProblem, register
from fve_pipeline.coreset.strata import dataset_strata

__all__ = ["Herding", "herd"]

Floats = np.ndarray[Any, np.dtype[np.float32]]


class Herding:
    """Takes, again and again, the case that brings the mean of the chosen nearest to the stratum's mean.

    Welling's herding on standardised descriptors, without replacement.
    """

    name = "herding"
    summary = "herding inside each dataset: the chosen cases' mean descriptor is the dataset's"

    def choose(self, problem: SelectionProblem) -> Choice:
        """Choose within each stratum by herding."""
        choice = Choice([], [])
        for name, rows, share in dataset_strata(problem):
            choice.rows.extend(rows[herd(problem.features(rows), share)].tolist())
            choice.reasons.extend(f"herded from {name}: {i + 1} of {share}" for i in range(share))
        return choice


def herd(features: Floats, k: int) -> list[int]:
    """``k`` rows of ``features`` (n, d); equals are settled for the earlier row."""
    mean = features.mean(0, dtype=np.float64)
    squared = (features * features).sum(1, dtype=np.float64)
    total = np.zeros_like(mean)
    free = np.ones(len(features), bool)
    picks: list[int] = []
    for step in range(1, k + 1):
        # || (total + x) / step - mean ||^2 as far as it depends on x
        wanted = (step * mean - total).astype(np.float32)
        score = squared - 2 * (features @ wanted)
        score[~free] = np.inf
        best = int(np.argmin(score))
        free[best] = False
        total += features[best]
        picks.append(best)
    return picks


register(Herding())
