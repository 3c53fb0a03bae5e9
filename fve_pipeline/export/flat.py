"""Masks of overlapping classes as one label map: what a format that knows one label a voxel can hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.store.class_table import ClassTable

__all__ = ["FlatLabels"]


class FlatLabels:
    """A dataset's masks with one label a voxel: where classes overlap, the later one in the catalog has it.

    What the others lose is counted, and told by :meth:`notes`.
    """

    def __init__(self, table: ClassTable, dataset: str, unit: str = "voxels") -> None:
        self._dataset, self._unit = dataset, unit
        classes = self._classes = table.of_dataset(dataset)
        self._names = {entry.class_id: entry.name for entry in classes}
        self._lost = dict.fromkeys(self._names, 0)
        self._table = np.arange(1 << 16, dtype=np.uint16)
        self._losers: dict[int, list[int]] = {}
        for value in table.combinations(dataset):
            members = [entry for entry in classes if value in entry.ids]
            winner = next((entry for entry in reversed(members) if entry.label is not None), members[-1])
            label = winner.label_ids[0]
            self._table[value] = label
            self._losers[value] = [entry.class_id for entry in members if label not in entry.label_ids]

    def __call__(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Return the labels of a mask of any shape; what is lost in it counts."""
        if not self._losers:
            return labels
        for value in np.unique(labels).tolist():
            for class_id in self._losers.get(value, ()):
                self._lost[class_id] += int(np.count_nonzero(labels == value))
        flat: NDArray[Any] = self._table[labels]
        return flat

    def merge(self, under: NDArray[Any], over: NDArray[Any]) -> NDArray[Any]:
        """Return the labels of two renditions' masks, which show other classes; the higher label stays, and counts."""
        both = (under != over) & (under != 0) & (over != 0)
        lower = np.minimum(under[both], over[both])
        for entry in self._classes:
            self._lost[entry.class_id] += int(np.isin(lower, entry.label_ids).sum())
        merged: NDArray[Any] = np.maximum(under, over)
        return merged

    def notes(self) -> list[str]:
        """Return which classes lost how much, if any did."""
        lost = [f"{self._names[one]} {count:,}" for one, count in self._lost.items() if count]
        if not lost:
            return []
        return [
            f"{self._dataset}: one label a voxel: {self._unit} lost to overlapping classes: {', '.join(lost)}"
        ]
