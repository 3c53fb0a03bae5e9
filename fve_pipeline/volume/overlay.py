"""Labels laid over each other on one grid: where several meet, their set gets a value of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import ReadError
from fve_pipeline.volume.types import Labels

__all__ = ["Overlay", "Sets", "counted", "flattened", "members", "voxels_of_labels"]

#: What a value of a label map stands for, where it stands for several labels: value → their ids, ascending.
Sets = Mapping[int, tuple[int, ...]]

_MAX = np.iinfo(np.uint16).max


def members(sets: Sets, value: int) -> tuple[int, ...]:
    """Return the ids that a value of a label map stands for: those of its set, or itself; none for 0."""
    return sets.get(value, (value,) if value else ())


def flattened(array: NDArray[Any], sets: Sets) -> tuple[NDArray[Any], int]:
    """Return the map with the highest id of each set in its place, and how many voxels had several."""
    if not sets:
        return array, 0
    table = np.arange(_MAX + 1, dtype=np.uint16)
    for value, ids in sets.items():
        table[value] = max(ids)
    several = int(np.isin(array, list(sets)).sum())
    return table[array], several


def voxels_of_labels(labels: Labels) -> NDArray[np.int64]:
    """Return the voxels of each id 0..65535, those that it shares with others included."""
    counts = counted(labels.array)
    shared = {value: int(counts[value]) for value in labels.sets}
    counts[list(shared)] = 0
    for value, voxels in shared.items():
        counts[list(labels.sets[value])] += voxels
    return counts


def counted(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return how often each value 0..65535 occurs in a label map."""
    from fve_kernels.cpu_statistics import (
        label_counts,  # numba takes memory and time, which a look at headers saves
    )

    return label_counts(np.ascontiguousarray(labels, np.uint16))


class Overlay:
    """A label map (z,y,x) to which labels are added one after another, and in which none hides another.

    ``array`` is uint16 and holds ids. Where labels overlap it holds values that no id has, from 65535 downwards,
    and ``sets`` says which ids each of them stands for. Both depend on what was added alone, in its order.

    Examples
    --------
    >>> import numpy as np
    >>> overlay = Overlay((1, 1, 4))
    >>> overlay.add(np.array([[[1, 1, 1, 0]]]) > 0, 7)  # a heart
    >>> overlay.add(np.array([[[0, 0, 1, 1]]]) > 0, 3)  # its atrium, and more
    >>> overlay.array.tolist(), overlay.sets
    ([[[7, 7, 65535, 3]]], {65535: (3, 7)})
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.array: NDArray[np.uint16] = np.zeros(shape, np.uint16)
        self._sets: dict[int, tuple[int, ...]] = {}
        self._values: dict[tuple[int, ...], int] = {}
        self._highest = 0

    @property
    def sets(self) -> dict[int, tuple[int, ...]]:
        """The ids that each value above all ids stands for."""
        return dict(self._sets)

    def add(self, labels: NDArray[Any], value: int | None = None, sets: Sets | None = None) -> None:
        """Add a label map, or with ``value`` the one label that all its non-zero voxels are.

        ``labels`` (z,y,x) is bool or of ids; ``sets`` says which of its values stand for several.
        Raises ReadError when 65,535 values do not hold all ids and sets.
        """
        if value is not None:
            self._know(value)
        elif labels.dtype.kind != "b":
            labels = self._own_values(labels, sets or {})
        # Slice by slice: most labels of a hundred are in few slices, and a slice fits the cache.
        for under, over in zip(self.array, labels, strict=True):
            if over.any():
                self._lay(under, over, value)

    def add_slice(self, place: int, labels: NDArray[Any], value: int) -> None:
        """Add the non-zero pixels of (y,x) as one label in slice ``place``."""
        self._know(value)
        self._lay(self.array[place], labels, value)

    def _lay(self, under: NDArray[np.uint16], over: NDArray[Any], value: int | None) -> None:
        layer = over != 0
        ids: Any = over if value is None else np.uint16(value)
        both = layer & (under != 0) & (under != ids)
        if not both.any():
            np.copyto(under, ids, where=layer, casting="unsafe")
            return
        above = np.broadcast_to(ids, under.shape)[both].astype(np.uint32)
        pairs, inverse = np.unique(under[both].astype(np.uint32) << 16 | above, return_inverse=True)
        joined = np.array([self._join(pair >> 16, pair & _MAX) for pair in pairs.tolist()], np.uint16)
        np.copyto(under, ids, where=layer, casting="unsafe")
        under[both] = joined[inverse.reshape(-1)]

    def _join(self, first: int, second: int) -> int:
        return self._value_of({*members(self._sets, first), *members(self._sets, second)})

    def _value_of(self, ids: set[int]) -> int:
        key = tuple(sorted(ids))
        if len(key) == 1:
            return key[0]
        if key not in self._values:
            value = _MAX - len(self._sets)
            self._sets[value] = key
            self._values[key] = value
            self._know(0)
        return self._values[key]

    def _own_values(self, labels: NDArray[Any], sets: Sets) -> NDArray[Any]:
        """Return the map with its sets' values replaced by ours."""
        top = int(labels.max(initial=0))
        if not sets:
            self._know(top)
            return labels
        table = np.arange(_MAX + 1, dtype=np.uint16)
        present = counted(labels) > 0
        self._know(max((int(v) for v in np.flatnonzero(present) if v not in sets), default=0))
        for value, ids in sets.items():
            if present[value]:
                self._know(max(ids))
                table[value] = self._value_of(set(ids))
        own: NDArray[np.uint16] = table[labels]
        return own

    def _know(self, label: int) -> None:
        self._highest = max(self._highest, label)
        if self._highest > _MAX - len(self._sets):
            msg = (
                f"labels overlap in {len(self._sets)} combinations, and with ids up to {self._highest} there are no "
                f"values left for them among 1..{_MAX}. Renumber the labels, or give the classes a priority."
            )
            raise ReadError(msg)
