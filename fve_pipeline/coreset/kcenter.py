"""k-center inside strata: the farthest case is taken next."""

from __future__ import annotations

from typing import Any

import numpy as np

from fve_pipeline.coreset.method import Choice, SelectionProblem, register
from fve_pipeline.coreset.strata import dataset_strata

__all__ = ["KCenter", "k_center"]

Floats = np.ndarray[Any, np.dtype[np.float32]]


class KCenter:
    """Farthest-first traversal (Gonzalez): at most twice the best possible radius.

    Outliers come first by nature: it covers the odd cases, and the ordinary ones thinly.
    """

    name = "kcenter"
    summary = "k-center inside each dataset: no case far from a chosen one; takes outliers"

    def choose(self, problem: SelectionProblem) -> Choice:
        """Choose within each stratum, farthest first."""
        choice = Choice([], [])
        for name, rows, share in dataset_strata(problem):
            choice.rows.extend(rows[k_center(problem.features(rows), share)].tolist())
            choice.reasons.extend(f"center of {name}: {i + 1} of {share}" for i in range(share))
        return choice


def k_center(features: Floats, k: int) -> list[int]:
    """``k`` rows of ``features`` (n, d), starting from the first; equals are settled for the earlier row."""
    squared = (features * features).sum(1)
    nearest = np.full(len(features), np.inf, np.float32)
    picks: list[int] = []
    best = 0
    for _ in range(k):
        picks.append(best)
        np.minimum(nearest, squared - 2 * (features @ features[best]) + squared[best], out=nearest)
        nearest[picks[-1]] = -np.inf
        best = int(np.argmax(nearest))
    return picks


register(KCenter())
