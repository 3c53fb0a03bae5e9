"""Facility location inside strata: chosen cases that every case is near to."""

from __future__ import annotations

from typing import Any

import numpy as np

from fve_pipeline.coreset.method import Choice, SelectionProblem, register
from fve_pipeline.coreset.strata import dataset_strata

__all__ = ["EXACT_LIMIT", "Facility", "facility_location"]

EXACT_LIMIT = 8192  # cases a stratum: all distances at once are 256 MiB
_CLIENTS = 8192  # cases that a larger stratum is judged by
_MISS = 0.01  # chance that a step of the approximation sees none of the best 1/k of the candidates

Floats = np.ndarray[Any, np.dtype[np.float32]]


class Facility:
    """Maximises the sum over a stratum's cases of (largest distance - distance to the nearest chosen case).

    Exact greedy (lazily evaluated) for strata of up to ``EXACT_LIMIT`` cases. Larger ones are approximated by
    stochastic greedy on a random subset of the cases to be near to, and a note says so.
    """

    name = "facility"
    summary = "facility location inside each dataset: every case has a chosen one near it"

    def choose(self, problem: SelectionProblem) -> Choice:
        """Choose within each stratum by facility location."""
        choice = Choice([], [])
        for name, rows, share in dataset_strata(problem):
            picks, exact = facility_location(problem.features(rows), share, seed=problem.seed)
            choice.rows.extend(rows[picks].tolist())
            choice.reasons.extend(f"facility of {name}: {i + 1} of {share}" for i in range(share))
            if not exact:
                choice.notes.append(
                    f"facility location of {name} is approximate: it has {len(rows)} cases, exact up to "
                    f"{EXACT_LIMIT}; stochastic greedy, judged by {_CLIENTS} random cases"
                )
        return choice


def facility_location(
    features: Floats, k: int, *, seed: int, limit: int = EXACT_LIMIT
) -> tuple[list[int], bool]:
    """``k`` rows of ``features`` (n, d), greedily, and whether the greedy choice is exact.

    Equal gains are settled for the earlier row. Distances are Euclidean, float32.
    """
    if len(features) <= limit:
        distance = _distances(features, features)
        np.fill_diagonal(distance, 0)  # rounding leaves about 1e-3 there
        return _exact(distance, k), True
    return _stochastic(features, k, np.random.Generator(np.random.Philox(key=seed)), limit), False


def _distances(a: Floats, b: Floats) -> Floats:
    """Euclidean distances, float32 (len(a), len(b))."""
    out: Floats = a @ b.T
    out *= -2
    out += (a * a).sum(1)[:, None]
    out += (b * b).sum(1)[None, :]
    np.maximum(out, 0, out=out)
    np.sqrt(out, out=out)
    return out


def _exact(distance: Floats, k: int) -> list[int]:
    """Lazy greedy: gains only fall, so the candidate that leads is weighed again until it leads still."""
    nearest = np.full(len(distance), distance.max(initial=0), np.float32)
    gains = nearest.sum(dtype=np.float64) - distance.sum(1, dtype=np.float64)
    picks: list[int] = []
    for _ in range(k):
        fresh = np.zeros(len(gains), bool)
        while True:
            best = int(np.argmax(gains))  # the first of equals
            if fresh[best]:
                break
            # Distances are symmetric: a row is contiguous where a column is not.
            gains[best] = np.maximum(nearest - distance[best], 0).sum(dtype=np.float64)
            fresh[best] = True
        picks.append(best)
        np.minimum(nearest, distance[best], out=nearest)
        gains[best] = -1.0
    return picks


def _stochastic(features: Floats, k: int, rng: np.random.Generator, limit: int) -> list[int]:
    """Each step weighs a random n/k * ln(1/miss) of the candidates (Mirzasoleiman et al. 2015)."""
    n = len(features)
    clients = features[np.sort(rng.choice(n, min(_CLIENTS, limit), replace=False))]
    sample = int(np.ceil(n / k * np.log(1 / _MISS)))
    nearest = np.full(len(clients), np.inf, np.float32)
    free = np.ones(n, bool)
    picks: list[int] = []
    while len(picks) < k:
        candidates = np.unique(rng.integers(0, n, min(sample, n)))
        candidates = candidates[free[candidates]]
        if not len(candidates):
            continue
        distance = _distances(features[candidates], clients)
        reached = np.minimum(distance, nearest, out=distance)
        best = int(np.argmin(reached.sum(1, dtype=np.float64)))
        nearest = reached[best].copy()
        free[candidates[best]] = False
        picks.append(int(candidates[best]))
    return picks


register(Facility())
