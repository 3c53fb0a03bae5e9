"""Which pairs of cases are worth a look: those that share words of their planes. Near-linear in the cases."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.duplicates.hashes import BANDS, FLIPS, PROBES, plane_hashes, probes

__all__ = ["candidate_pairs"]

_CROWD = 24  # cases that share a word say nothing about it any more
_FEW = 12  # planes; a case with fewer is looked for harder


def candidate_pairs(
    count: int, load: Callable[[int], NDArray[np.uint8]], advance: Callable[[], object] = lambda: None
) -> NDArray[np.int64]:
    """Return pairs (first, second, shared words), first < second, of ``count`` fingerprints, sorted.

    ``load(i)`` gives a fingerprint; each is asked for once.
    """
    own: list[list[NDArray[np.uint64]]] = [[] for _ in range(BANDS)]
    asked: list[list[NDArray[np.uint64]]] = [[] for _ in range(BANDS)]
    for number in range(count):
        terms, visible = plane_hashes(load(number))
        terms = terms[visible]
        tries = PROBES if len(terms) <= _FEW else 1
        for flip in FLIPS:
            words = probes(terms, flip, tries)
            for band in range(BANDS):
                keys = np.unique(words[:, band]).astype(np.uint64) << np.uint64(32) | np.uint64(number)
                asked[band].append(keys)
                if flip == FLIPS[0]:
                    plain = np.unique(words[:, band, 0]).astype(np.uint64) << np.uint64(32)
                    own[band].append(plain | np.uint64(number))
        advance()
    met = (
        [_meetings(np.concatenate(own[band]), np.concatenate(asked[band])) for band in range(BANDS)]
        if count
        else []
    )
    both = np.concatenate(met) if met else np.empty(0, np.uint64)
    pairs, shared = np.unique(both, return_counts=True)
    columns = (pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF), shared)
    return np.stack([column.astype(np.int64) for column in columns], axis=1)


def _meetings(own: NDArray[np.uint64], asked: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Pairs that meet in a word, as first << 32 | second; both are word << 32 | case."""
    own.sort()
    words = own >> np.uint64(32)
    wanted = asked >> np.uint64(32)
    low, high = np.searchsorted(words, wanted, "left"), np.searchsorted(words, wanted, "right")
    crowd = high - low
    crowd[crowd > _CROWD] = 0
    rows = np.repeat(np.arange(len(asked)), crowd)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(crowd) - crowd, crowd)
    one = asked[rows] & np.uint64(0xFFFFFFFF)
    other = own[low[rows] + within] & np.uint64(0xFFFFFFFF)
    first, second = np.minimum(one, other), np.maximum(one, other)
    return np.asarray((first << np.uint64(32) | second)[first != second], np.uint64)
