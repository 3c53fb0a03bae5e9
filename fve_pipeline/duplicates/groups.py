"""From fingerprints to groups of cases that show one scan."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.duplicates.align import Likeness, compare
from fve_pipeline.duplicates.candidates import candidate_pairs

__all__ = ["Found", "find_duplicates", "groups_of"]


@dataclass(frozen=True, slots=True)
class Found:
    """Two cases, by number, that show one scan."""

    first: int
    second: int
    likeness: Likeness


def find_duplicates(
    count: int, load: Callable[[int], NDArray[np.uint8]], advance: Callable[[], object] = lambda: None
) -> list[Found]:
    """Return all pairs of ``count`` fingerprints that show one scan, in order; ``load(i)`` gives one.

    Time and memory grow with the cases, not with their pairs: only cases whose planes share words are compared.
    """
    pairs = candidate_pairs(count, load, advance)
    held = lru_cache(maxsize=256)(load)
    found = (Found(a, b, compare(held(a), held(b))) for a, b, _ in pairs.tolist())
    return [one for one in found if one.likeness.same]


def groups_of(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return the groups of two and more that ``pairs`` of ``count`` things tie together, each and all in order.

    >>> groups_of(5, [(3, 1), (4, 3)])
    [[1, 3, 4]]
    """
    parent = list(range(count))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    members: dict[int, list[int]] = {}
    for number in range(count):
        members.setdefault(root(number), []).append(number)
    return [group for group in members.values() if len(group) > 1]
