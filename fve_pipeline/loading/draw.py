"""Drawing an epoch from groups: counts by share, members in turn. A function of (seed, epoch)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.loading.hashing import Stream, mix, uniform
from fve_pipeline.loading.strategies import Groups

__all__ = ["draw_epoch", "quotas"]

Ints = NDArray[np.int64]


def quotas(shares: NDArray[np.float64], length: int, seed: int, epoch: int) -> Ints:
    """How many samples each group gives to an epoch of ``length``: they sum to it.

    Each is its share rounded down or up; which way changes by epoch, so that over many epochs every group
    gets its exact share, however small.
    """
    exact = shares * length
    counts = np.floor(exact).astype(np.int64)
    # Systematic sampling of the leftovers: equally spaced points from a random start.
    left = length - int(counts.sum())
    ends = np.cumsum(exact - counts)
    ends *= left / ends[-1] if left else 0
    points = np.arange(left) + float(uniform(Stream.QUOTA, seed, epoch))
    extra = np.minimum(np.searchsorted(ends, points, side="right"), len(shares) - 1)
    return counts + np.bincount(extra, minlength=len(shares))


def draw_epoch(groups: Groups, length: int, seed: int, epoch: int) -> Ints:
    """Return samples of an epoch, ``length`` of them, grouped and not yet in order.

    Each group goes through its members in a random order, then through another, and goes on where the epoch
    before stopped: no member comes twice before all have come once.
    """
    before = np.zeros(len(groups.members), np.int64)
    if len(groups.members) == 1:
        before += length * epoch
    else:
        for past in range(epoch):
            before += quotas(groups.shares, length, seed, past)
    now = quotas(groups.shares, length, seed, epoch)
    parts = [
        _turn(members, int(start), int(count), seed, number)
        for number, (members, start, count) in enumerate(zip(groups.members, before, now, strict=True))
    ]
    return np.concatenate(parts)


def _turn(members: Ints, start: int, count: int, seed: int, group: int) -> Ints:
    """``count`` members from place ``start`` of the endless sequence of shuffled rounds."""
    parts, size = [], len(members)
    while count:
        cycle, place = divmod(start, size)
        take = min(count, size - place)
        if take == size:
            parts.append(members)  # a whole round: its order does not matter here
        else:
            keys = mix(Stream.CYCLE, seed, group, cycle, members)
            parts.append(members[np.argsort(keys, kind="stable")[place : place + take]])
        start, count = start + take, count - take
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
