"""Means over cases with bootstrap intervals."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Interval", "bootstrap_mean"]

_RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` cases with its 95 % interval; ``low`` and ``high`` are NaN for fewer than two."""

    mean: float
    low: float
    high: float
    n: int


def bootstrap_mean(values: Sequence[float], *, seed: int = 0, name: str = "") -> Interval:
    """Return the mean of the defined values and the percentile interval over resampled cases.

    The draws depend on ``seed`` and ``name`` only, so that a group's interval does not change with what
    other groups are reported beside it.

    >>> interval = bootstrap_mean([0.5, 1.0, float("nan")])
    >>> interval.mean, interval.n
    (0.75, 2)
    """
    defined = np.asarray(values, np.float64)
    defined = defined[~np.isnan(defined)]
    n = len(defined)
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    mean = float(defined.mean())
    if n == 1:
        return Interval(mean, float("nan"), float("nan"), 1)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    means = np.array([defined[rng.integers(0, n, n)].mean() for _ in range(_RESAMPLES)])
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(mean, float(low), float(high), n)
