"""Small slices for the probe: drawn from a store's index, read, shrunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fve_pipeline.coreset.table import ClassKey
from fve_pipeline.store.class_table import ClassEntry
from fve_pipeline.store.query import rows_of_cases
from fve_pipeline.store.reader import Store

__all__ = ["ProbeSlices", "Targets", "draw_rows", "read_slices"]


@dataclass(frozen=True, eq=False)
class Targets:
    """What there is to find: the classes of some stores, by number."""

    classes: tuple[ClassEntry, ...]

    @classmethod
    def of(cls, stores: Sequence[Store], classes: Sequence[ClassKey]) -> Targets:
        """Return the targets of these classes in the stores."""
        found = {(entry.dataset, entry.class_id): entry for store in stores for entry in store.class_table}
        return cls(tuple(found[key.dataset, key.class_id] for key in classes))

    def shown(self, dataset: str, rendition: str) -> list[int]:
        """Numbers of the classes that a slice of this dataset and rendition shows."""
        return [
            number
            for number, entry in enumerate(self.classes)
            if entry.dataset == dataset and entry.shown_in(rendition)
        ]

    def masks(
        self, labels: np.ndarray[Any, Any], numbers: Sequence[int]
    ) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(classes, S, S) bool of one label map."""
        return np.stack([self.classes[number].values.where(labels) for number in numbers])


@dataclass(frozen=True, eq=False)
class ProbeSlices:
    """``images`` (n,S,S) uint8 focal slices, ``labels`` (n,S,S), and each slice's classes by number."""

    images: np.ndarray[Any, np.dtype[np.uint8]]
    labels: np.ndarray[Any, np.dtype[np.uint16]]
    classes: tuple[list[int], ...]

    def __len__(self) -> int:
        return len(self.images)


def draw_rows(
    stores: Sequence[Store], cases: Sequence[str], *, limit: int, seed: int
) -> list[tuple[int, int]]:
    """(store, row) of up to ``limit`` labelled slices of ``cases``: one a case, then two, and so on.

    The order is random by ``seed``; many cases with few slices each teach more than the reverse.
    """
    rng = np.random.Generator(np.random.Philox(key=seed))
    found: list[tuple[int, int, int, int]] = []
    for number, store in enumerate(stores):
        rows = rows_of_cases(store.index, cases)
        part = store.index.select(["case", "class_ids"]).take(pa.array(rows))
        labelled = pc.list_value_length(part.column("class_ids")).to_numpy() > 0
        names = part.column("case").to_pylist()
        order = rng.permutation(np.flatnonzero(labelled))
        turn: dict[str, int] = {}
        for place, i in enumerate(order.tolist()):
            turn[names[i]] = turn.get(names[i], -1) + 1
            found.append((turn[names[i]], place, number, int(rows[i])))
    return [(number, row) for _, _, number, row in sorted(found)[:limit]]


def read_slices(
    stores: Sequence[Store], rows: Sequence[tuple[int, int]], size: int, targets: Targets
) -> ProbeSlices:
    """Read and shrink: images by area, labels to the nearest."""
    images = np.empty((len(rows), size, size), np.uint8)
    labels = np.empty((len(rows), size, size), np.uint16)
    shown: dict[tuple[str, str], list[int]] = {}
    classes = []
    for place, (number, row) in enumerate(rows):
        pixels, mask = stores[number].sample(row)
        focal = np.ascontiguousarray(pixels[..., 0]) if pixels.ndim == 3 else pixels
        cv2.resize(focal, (size, size), dst=images[place], interpolation=cv2.INTER_AREA)
        wide = mask.astype(np.uint16)
        cv2.resize(wide, (size, size), dst=labels[place], interpolation=cv2.INTER_NEAREST_EXACT)
        index = stores[number].index
        key = (index.column("dataset")[row].as_py(), index.column("rendition")[row].as_py())
        if key not in shown:
            shown[key] = targets.shown(*key)
        classes.append(shown[key])
    return ProbeSlices(images, labels, tuple(classes))
