"""Two methods on the same cases: difference with its interval, Wilcoxon's test, effect sizes; Holm over many tests."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Paired", "compare_paired", "holm"]

_RESAMPLES = 10_000


@dataclass(frozen=True)
class Paired:
    """``second`` against ``first`` on ``n`` cases; ``undefined`` others lack a value on one side.

    ``difference`` is the mean of second − first, ``low`` and ``high`` its 95 % interval. ``p`` is of Wilcoxon's
    signed-rank test, two-sided. ``rank_biserial`` is the share of ranks that rise from the first to the second less that of
    those that fall (−1 to 1), ``d_z`` the mean difference in standard deviations of the differences. What cannot be had from
    so few cases is NaN.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    rank_biserial: float
    d_z: float
    better: int
    equal: int
    worse: int
    n: int
    undefined: int


def compare_paired(
    first: Sequence[float],
    second: Sequence[float],
    *,
    lower_is_better: bool = False,
    seed: int = 0,
    name: str = "",
) -> Paired:
    """Compare two methods' scores (N,), case by case; a case without a value on one side is left out and counted.

    The interval is the percentile interval over resampled pairs, its draws a function of ``seed`` and ``name`` alone.

    >>> found = compare_paired([0.5, 0.6, 0.7], [0.6, 0.8, 0.7])
    >>> round(found.difference, 3), found.better, found.equal, found.rank_biserial
    (0.1, 2, 1, 1.0)
    """
    from scipy import stats

    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    defined = ~(np.isnan(a) | np.isnan(b))
    a, b = a[defined], b[defined]
    n, undefined = len(a), int((~defined).sum())
    if n == 0:
        nan = math.nan
        return Paired(nan, nan, nan, nan, nan, nan, nan, nan, 0, 0, 0, 0, undefined)
    differences = b - a
    moved = differences[differences != 0]
    low = high = d_z = math.nan
    p, rank = 1.0, 0.0
    if n > 1:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        means = np.array([differences[rng.integers(0, n, n)].mean() for _ in range(_RESAMPLES)])
        low, high = (float(one) for one in np.quantile(means, [0.025, 0.975]))
        spread = float(differences.std(ddof=1))
        d_z = float(differences.mean()) / spread if spread else math.nan
    if len(moved):
        p = float(stats.wilcoxon(moved).pvalue)
        ranks = stats.rankdata(np.abs(moved))
        rank = float((np.sign(moved) * ranks).sum() / ranks.sum())
    risen, fallen = int((differences > 0).sum()), int((differences < 0).sum())
    better, worse = (fallen, risen) if lower_is_better else (risen, fallen)
    return Paired(
        float(a.mean()), float(b.mean()), float(differences.mean()), low, high, p, rank, d_z,
        better, n - risen - fallen, worse, n, undefined,
    )  # fmt: skip


def holm(values: Sequence[float]) -> list[float]:
    """Adjust p values for their number by Holm's step-down rule; NaN stays NaN and is not counted.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    known = [(p, place) for place, p in enumerate(values) if not math.isnan(p)]
    adjusted, highest = [math.nan] * len(values), 0.0
    for rank, (p, place) in enumerate(sorted(known)):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = highest
    return adjusted
