"""The order of an epoch: shuffled slabs, dealt to 64 lanes, shuffled in windows. A function of (seed, epoch).

::

    samples by slab   [slab 7][slab 2][slab 9] … [slab 4]      slabs shuffled
    cut into lanes    |  lane 0  |  lane 1  | … |  lane 63 |   equally long
    within a lane     |window|window|…                         each window shuffled
    the order         lane 0, 1, … 63, 0, 1, …                 one from each in turn

A process that owns some of the lanes reads slabs that no other reads, and only those of its current windows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.loading.hashing import Stream, mix

__all__ = ["LANES", "arrange", "lane_of", "occurrences", "shuffle_quality"]

Ints = NDArray[np.int64]

LANES = 64


def arrange(drawn: Ints, slab: Ints, seed: int, epoch: int, window: int = 256) -> Ints:
    """Put drawn samples, which may repeat, in order.

    ``slab`` names the slab of each; those of a slab must lie together. ``window`` is the length in samples of
    a lane's shuffle window.
    """
    n = len(drawn)
    if n == 0:
        return drawn
    first = np.flatnonzero(np.diff(slab, prepend=slab[0] - 1))
    sizes = np.diff(first, append=n)
    slabs = np.argsort(mix(Stream.SLAB, seed, epoch, slab[first]), kind="stable")
    by_slab = _ranges(first[slabs], sizes[slabs])

    lengths = n // LANES + (np.arange(LANES) < n % LANES)
    lane = np.repeat(np.arange(LANES), lengths)
    depth = _ranges(np.zeros(LANES, np.int64), lengths)
    # Windows are numbered in the order they lie in: sorting by (window, hash) shuffles each in its place.
    number = np.cumsum(depth % window == 0) - 1
    key = number.astype(np.uint64) << np.uint64(32) | mix(
        Stream.WINDOW, seed, epoch, np.arange(n)
    ) >> np.uint64(32)
    order = np.empty(n, np.int64)
    order[depth * LANES + lane] = drawn[by_slab[np.argsort(key, kind="stable")]]
    return order


def _ranges(starts: Ints, sizes: Ints) -> Ints:
    """start, start + 1, … for each of ``starts``, one after the other."""
    places: Ints = np.arange(sizes.sum()) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    return places


def lane_of(position: Ints) -> Ints:
    """Return the lane that each position of the order came from."""
    return position % LANES


def occurrences(drawn: Ints) -> Ints:
    """How often each entry of a sorted array occurred before: 0 for the first of its value."""
    places = np.arange(len(drawn))
    new = np.diff(drawn, prepend=drawn[:1] - 1) != 0
    return places - np.maximum.accumulate(np.where(new, places, 0))


def shuffle_quality(groups: Ints, batch: int) -> float:
    """Mixing within batches: distinct groups a batch, over what a true permutation gives. 1 is perfect.

    ``groups`` names the group (a case, say) of each sample in order; whole batches are counted.
    """
    batches = len(groups) // batch
    rows = np.sort(groups[: batches * batch].reshape(batches, batch), axis=1)
    distinct = 1 + (np.diff(rows, axis=1) != 0).sum(axis=1).mean()
    # Of a random batch: a group of size m is missing with the chance that all samples come from the others.
    sizes = np.bincount(groups).astype(float)
    n = sizes.sum()
    steps = np.arange(batch)[:, None]
    missing = np.prod(np.maximum(n - sizes - steps, 0) / (n - steps), axis=0)
    return float(distinct / (1 - missing[sizes > 0]).sum())
