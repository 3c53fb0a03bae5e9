"""What the page shows: cases, their slices, and pictures of any slice at any order, from either storage."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import cv2
import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from fve_pipeline.imaging.encoding import context_depth, decode, encode
from fve_pipeline.look.contact_sheet import class_colour
from fve_pipeline.look.viewer.planes import marks, plane, plane_height
from fve_pipeline.store.query import rows_of_cases
from fve_pipeline.store.reader import Store
from fve_pipeline.store.runs import Runs

__all__ = ["PICTURES", "StoreSlices"]

PICTURES = ("focal", "outlines", "encoded", "before", "after")
_MAX_ORDER = 6
_CASE_COLUMNS = ["case", "dataset", "subject", "modality", "split", "n_samples"]


class StoreSlices:
    """A store as pictures. Rows are a store's; images are uint8, grey (H, W) or RGB (H, W, 3)."""

    def __init__(self, store: Store) -> None:
        self.store = store
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
        }

    def cases(self, words: str = "", start: int = 0, count: int = 100) -> dict[str, Any]:
        """``count`` cases whose name, modality or split holds every one of ``words``, from the ``start``-th."""
        table = self.store.cases.select(_CASE_COLUMNS)
        for word in words.split():
            columns = [table.column(name) for name in ("case", "subject", "modality", "split")]
            hits = [pc.match_substring(column, word, ignore_case=True) for column in columns]
            table = table.filter(pc.or_(pc.or_(hits[0], hits[1]), pc.or_(hits[2], hits[3])))
        return {"total": len(table), "cases": table.slice(start, count).to_pylist()}

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
        picture = cv2.cvtColor(np.ascontiguousarray(grey), cv2.COLOR_GRAY2RGB)
        for number, inside in self._regions(row, only).items():
            outlines, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, outlines, -1, class_colour(number), 1)
        return np.asarray(picture, np.uint8)
