"""What the page shows: cases, their slices, and pictures of any slice at any order, from either storage."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

import cv2
import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from fve_pipeline.errors import FveError
from fve_pipeline.imaging.encoding import context_depth, decode, encode
from fve_pipeline.look.contact_sheet import class_colour
from fve_pipeline.look.viewer.planes import marks, plane, plane_height
from fve_pipeline.look.viewer.predictions import Predictions, case_facts, predicted_ids
from fve_pipeline.store.query import rows_of_cases
from fve_pipeline.store.reader import Store
from fve_pipeline.store.runs import Runs

__all__ = ["PICTURES", "StoreSlices"]

PICTURES = ("focal", "outlines", "encoded", "before", "after")
_MAX_ORDER = 6
_MISSED, _ADDED, _OTHER = (255, 60, 60), (70, 140, 255), (255, 170, 40)
_CASE_COLUMNS = ["case", "dataset", "subject", "modality", "split", "n_samples"]


class StoreSlices:
    """A store as pictures. Rows are a store's; images are uint8, grey (H, W) or RGB (H, W, 3)."""

    def __init__(self, store: Store, predictions: Predictions | None = None) -> None:
        self.store, self.predictions = store, predictions
        self._encoded = lru_cache(maxsize=16)(self._encode)
        self._volume = lru_cache(maxsize=2)(store.read_slices)

    @cached_property
    def runs(self) -> Runs:
        return Runs.of(self.store.index)

    @property
    def orders(self) -> list[int]:
        """Orders that the store's size is divisible for."""
        size = self.store.settings.size
        return [0, *(k for k in range(1, _MAX_ORDER + 1) if size % (1 << (k - 1)) == 0)]

    def describe(self) -> dict[str, Any]:
        """What the page needs once."""
        settings = self.store.settings
        return {
            "samples": len(self.store),
            "cases": self.store.manifest.n_cases,
            "order": settings.order,
            "orders": self.orders,
            "settings": settings.model_dump(),
            "predicted": 0 if self.predictions is None else len(self.predictions.files),
            "classes": self._sortable(),
        }

    def _sortable(self) -> list[dict[str, Any]]:
        """What cases can be sorted by besides their names: each class of each dataset, where there are predictions."""
        if self.predictions is None:
            return []
        datasets = dict.fromkeys(self.store.cases.column("dataset").to_pylist())
        return [
            {"key": f"{dataset}/{entry.class_id}", "name": f"{entry.name} ({dataset})"}
            for dataset in datasets
            for entry in self.store.class_table.of_dataset(dataset)
            if entry.ids
        ]

    def scores(self, case: str) -> dict[str, Any]:
        """A case's Dice by class and slice; empty without a prediction, with ``problem`` where it cannot be read."""
        if self.predictions is None or case not in self.predictions.files:
            return {"classes": []}
        try:
            return {"classes": case_facts(self.predictions.of_case(case))}
        except FveError as error:
            return {"classes": [], "problem": str(error)}

    def cases(self, words: str = "", start: int = 0, count: int = 100, by: str = "") -> dict[str, Any]:
        """``count`` cases whose name, modality or split holds every one of ``words``, from the ``start``-th.

        ``by`` "dice" sorts them by their mean Dice, the lowest first, "DATASET/ID" by that of a class; those that are not
        scored, or not yet, come last.
        """
        table = self.store.cases.select(_CASE_COLUMNS)
        for word in words.split():
            columns = [table.column(name) for name in ("case", "subject", "modality", "split")]
            hits = [pc.match_substring(column, word, ignore_case=True) for column in columns]
            table = table.filter(pc.or_(pc.or_(hits[0], hits[1]), pc.or_(hits[2], hits[3])))
        if not by or self.predictions is None:
            return {"total": len(table), "cases": table.slice(start, count).to_pylist()}
        dataset, _, number = by.rpartition("/")
        if dataset:
            table = table.filter(pc.equal(table.column("dataset").cast("string"), dataset))
        class_id = int(number) if dataset else None
        found = [self.predictions.dice(case, class_id) for case in table.column("case").to_pylist()]
        order = sorted(range(len(found)), key=lambda row: (found[row] is None, found[row] or 0.0))
        rows = order[start : start + count]
        listed = table.take(np.array(rows, np.int64)).to_pylist()
        shown = [case | {"dice": found[row]} for case, row in zip(listed, rows, strict=True)]
        scored = sum(value is not None for value in found)
        return {"total": len(table), "scored": scored, "cases": shown}

    def case(self, name: str) -> dict[str, Any]:
        """A case's runs, facts and its dataset's classes. Raises KeyError for an unknown one."""
        index = self.store.index
        runs = [
            {
                **{column: index.column(column)[run.start].as_py() for column in ("rendition", "view")},
                "start": run.start,
                "count": len(run),
            }
            for run in self.runs.of_rows(rows_of_cases(index, [name]))
        ]
        if not runs:
            raise KeyError(name)
        facts = self.store.cases.filter(pc.equal(self.store.cases.column("case"), name)).to_pylist()[0]
        kept = ("case", "subject", "modality", "split", "source", "shape", "spacing", "decision", "notes")
        return {name: facts[name] for name in kept} | {
            "runs": runs,
            "classes": self._classes(facts["dataset"]),
        }

    def run(self, row: int) -> dict[str, Any]:
        """Where the classes of a row's run occur."""
        return {"marks": marks(self.store, self.runs.of_row(self._checked(row)))}

    def plane(self, row: int, across: str, at: int) -> NDArray[np.uint8]:
        """The plane through line ("y") or column ("x") ``at`` of a row's whole run (grey). Raises IndexError."""
        run = self.runs.of_row(self._checked(row))
        return plane(self._volume(run.start, run.stop), across, at, plane_height(self.store, run))

    def fill(self, row: int, only: int | None = None) -> NDArray[np.uint8]:
        """The classes of a slice in their colours (H, W, 4), transparent elsewhere; ``only`` that class. Raises KeyError."""
        regions = self._regions(self._checked(row), only)
        size = self.store.settings.size
        picture = np.zeros((size, size, 4), np.uint8)
        for number, inside in regions.items():
            picture[inside] = (*class_colour(number), 255)
        return picture

    def predicted(self, row: int, order: int, only: int | None = None) -> NDArray[np.uint8]:
        """The slice with outlines of what was predicted (H, W, 3). Raises KeyError, FveError."""
        grey = self._encoded(self._checked(row), order)[..., 0]
        masks = self._predicted_mask(row)
        dataset = self.store.index.column("dataset")[row].as_py()
        regions = {number: masks == number for number in np.unique(masks[masks > 0]).tolist()}
        if only is not None:
            wanted = predicted_ids(self.store.class_table.find(dataset, only))
            regions = {number: inside for number, inside in regions.items() if number in wanted}
        return outlined(grey, regions)

    def difference(self, row: int, only: int | None = None) -> NDArray[np.uint8]:
        """Where truth and prediction differ (H, W, 4): red is missed, blue is found beside it, orange is another class."""
        mask = self.store.mask_rows.take([self._checked(row)])[0]
        predicted = self._predicted_mask(row)
        dataset = self.store.index.column("dataset")[row].as_py()
        entries = [
            entry
            for entry in self.store.class_table.of_dataset(dataset)
            if entry.ids and (only is None or entry.class_id == only)
        ]
        missed, added = (np.zeros(mask.shape, bool) for _ in range(2))
        for entry in entries:
            here, there = np.isin(mask, entry.ids), np.isin(predicted, sorted(predicted_ids(entry)))
            missed |= here & ~there
            added |= there & ~here
        picture = np.zeros((*mask.shape, 4), np.uint8)
        for where, colour in ((missed, _MISSED), (added, _ADDED), (missed & added, _OTHER)):
            picture[where] = (*colour, 255)
        return picture

    def _predicted_mask(self, row: int) -> NDArray[np.uint16]:
        if self.predictions is None:
            msg = "no predictions were given"
            raise KeyError(msg)
        run = self.runs.of_row(self._checked(row))
        return np.asarray(self.predictions.masks(run)[row - run.start], np.uint16)

    def slice(self, row: int) -> dict[str, Any]:
        """One row of the index."""
        found: dict[str, Any] = self.store.index.slice(self._checked(row), 1).to_pylist()[0]
        return found

    def picture(self, row: int, order: int, what: str, only: int | None = None) -> NDArray[np.uint8]:
        """A slice as one of ``PICTURES``; ``only`` outlines that class alone. Raises KeyError, IndexError."""
        image = self._encoded(self._checked(row), order)
        if what == "encoded":
            return image
        grey: NDArray[np.uint8] = image[..., {"focal": 0, "outlines": 0, "before": 1, "after": 2}[what]]
        return self._outlined(grey, row, only) if what == "outlines" else grey

    def context(self, row: int, order: int, distance: int) -> NDArray[np.uint8]:
        """The slice ``distance`` before (negative) or after, as decoded from the encoded image (grey)."""
        parts = decode(self._encoded(self._checked(row), order), order)
        if not 1 <= abs(distance) <= len(parts.after):
            msg = f"order {order} holds distances 1 to {len(parts.after)}, not {abs(distance)}"
            raise IndexError(msg)
        return (parts.before if distance < 0 else parts.after)[abs(distance) - 1]

    def _checked(self, row: int) -> int:
        if not 0 <= row < len(self.store):
            msg = f"row {row}: the store has rows 0 to {len(self.store) - 1}"
            raise IndexError(msg)
        return row

    def _encode(self, row: int, order: int) -> NDArray[np.uint8]:
        """(S, S, 3): from the neighbours' focal slices, which both forms of storage hold."""
        if order not in self.orders:
            msg = f"order {order}: the store's size allows {self.orders}"
            raise IndexError(msg)
        run, reach = self.runs.of_row(row), context_depth(order)
        first, last = max(run.start, row - reach), min(run.stop, row + reach + 1)
        settings = self.store.settings
        slab = self.store.read_slices(first, last)
        images = encode(slab, order, settings.boundary, settings.downsample, focal=[row - first])
        return np.asarray(images[0])

    def _classes(self, dataset: str) -> list[dict[str, Any]]:
        return [
            {
                "id": entry.class_id,
                "name": entry.name,
                "instance": entry.instance,
                "prompts": list(entry.words),
                "colour": list(class_colour(entry.label_ids[0])) if len(entry.label_ids) == 1 else None,
            }
            for entry in self.store.class_table.of_dataset(dataset)
        ]

    def _regions(self, row: int, only: int | None) -> dict[int, NDArray[np.bool_]]:
        """Where each label of a slice lies; those of one class with ``only``. Raises KeyError for an unknown one."""
        mask = self.store.mask_rows.take([row])[0]
        table = self.store.class_table
        dataset = self.store.index.column("dataset")[row].as_py()
        regions = table.regions(dataset, mask)
        if only is not None:
            entry = table.find(dataset, only)
            wanted = set(regions) if entry.instance else {*entry.label_ids, *entry.ids}
            regions = {label: inside for label, inside in regions.items() if label in wanted}
        return regions

    def _outlined(self, grey: NDArray[np.uint8], row: int, only: int | None) -> NDArray[np.uint8]:
        return outlined(grey, self._regions(row, only))


def outlined(grey: NDArray[np.uint8], regions: Mapping[int, NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """Return a slice (H, W) as RGB with an outline around each region, in its label's colour."""
    picture = cv2.cvtColor(np.ascontiguousarray(grey), cv2.COLOR_GRAY2RGB)
    for number, inside in regions.items():
        outlines, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, class_colour(number), 1)
    return np.asarray(picture, np.uint8)
