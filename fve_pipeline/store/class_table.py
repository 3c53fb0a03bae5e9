"""Which classes a dataset has, which mask values are theirs, and which renditions show them.

A class is a set of mask values: its label id, the ids of a union's parts, those of the combinations in which it
overlaps others, or, for instances, every value but 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fve_pipeline.store.tables import CLASSES_SCHEMA

__all__ = ["ClassEntry", "ClassTable", "MaskClasses", "MaskValues"]


@dataclass(frozen=True, slots=True)
class MaskValues:
    """The mask values of one class: those in ``ids``, or every value but 0 when they are ``instances``."""

    ids: tuple[int, ...]
    instances: bool = False

    def where(self, mask: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where the class lies in a mask of any shape, as bool of that shape."""
        return mask > 0 if self.instances else np.isin(mask, self.ids)

    def pixels(self, pixels_of: Mapping[int, int]) -> int:
        """Return the class's pixels; ``pixels_of`` are those of each mask value that a mask holds."""
        if self.instances:
            return sum(pixels_of.values()) - pixels_of.get(0, 0)
        if len(self.ids) == 1:
            return pixels_of.get(self.ids[0], 0)
        return sum(pixels_of.get(label, 0) for label in self.ids)


@dataclass(frozen=True, slots=True)
class ClassEntry:
    """One row of ``classes.parquet``.

    ``ids`` are the mask values that make up the class, none for instances: ``label_ids``, which the catalog names,
    and after them those of combinations with other classes. ``side`` is left, right or "". ``renditions`` are those
    that show the class; none means all.
    """

    dataset: str
    class_id: int
    name: str
    ids: tuple[int, ...]
    instance: bool = False
    side: str = ""
    prompts: tuple[str, ...] = ()
    renditions: tuple[str, ...] = ()
    label_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.label_ids:
            object.__setattr__(self, "label_ids", self.ids)

    @property
    def values(self) -> MaskValues:
        """The class's values in a mask."""
        return MaskValues(self.ids, self.instance)

    @property
    def words(self) -> tuple[str, ...]:
        """What the class may be asked for by: its prompts, or its name when it has none."""
        return self.prompts or (self.name,)

    @property
    def label(self) -> int | None:
        """The id that stands for the class in a label map; None for a union, which has none of its own."""
        if self.instance:
            return self.class_id
        return self.label_ids[0] if len(self.label_ids) == 1 else None

    def shown_in(self, rendition: str) -> bool:
        """Return whether masks of this rendition show the class."""
        return not self.renditions or rendition in self.renditions


@dataclass(frozen=True, slots=True)
class MaskClasses:
    """What the masks of one dataset and rendition hold.

    ``values`` are those of the classes shown, by class id, in the table's order. ``kept`` are the label ids that
    such a mask keeps, ascending; None keeps all.
    """

    values: tuple[tuple[int, MaskValues], ...]
    kept: tuple[int, ...] | None

    def present(self, counts: NDArray[np.integer[Any]]) -> dict[int, int]:
        """Return the pixels of each class that has any, by class id.

        ``counts`` (256,) or (65536,) are the pixels of each mask value.
        """
        held = np.flatnonzero(counts)
        pixels_of = dict(zip(held.tolist(), counts[held].tolist(), strict=True))  # few of 65,536 values
        found = ((class_id, values.pixels(pixels_of)) for class_id, values in self.values)
        return {class_id: pixels for class_id, pixels in found if pixels}


@dataclass(frozen=True)
class ClassTable:
    """The classes of a store's datasets, in the order of ``classes.parquet``."""

    entries: tuple[ClassEntry, ...]

    @classmethod
    def of(cls, table: pa.Table) -> ClassTable:
        """Return the classes of a table of the schema ``CLASSES_SCHEMA``."""
        return cls(tuple(_entry(row) for row in table.to_pylist()))

    def __iter__(self) -> Iterator[ClassEntry]:
        return iter(self.entries)

    def to_arrow(self) -> pa.Table:
        """Return the table of the schema ``CLASSES_SCHEMA``."""
        return pa.Table.from_pylist([asdict(entry) for entry in self.entries], schema=CLASSES_SCHEMA)

    def of_dataset(self, dataset: str) -> tuple[ClassEntry, ...]:
        """Return a dataset's classes; none for an unknown one."""
        return self._datasets.get(dataset, ())

    def shown(self, dataset: str, rendition: str) -> tuple[ClassEntry, ...]:
        """Return the classes of a dataset that a rendition shows, whether a sample holds them or not."""
        return tuple(entry for entry in self.of_dataset(dataset) if entry.shown_in(rendition))

    def find(self, dataset: str, class_id: int) -> ClassEntry:
        """Return one class. Class ids mean something within their dataset only.

        Raises KeyError when the dataset has no such class.
        """
        for entry in self.of_dataset(dataset):
            if entry.class_id == class_id:
                return entry
        msg = f"{dataset} has no class {class_id}"
        raise KeyError(msg)

    def combinations(self, dataset: str) -> dict[int, tuple[int, ...]]:
        """Return the mask values in which classes of a dataset overlap, ascending, with the ids of those classes."""
        classes = self.of_dataset(dataset)
        labels = {label for entry in classes for label in entry.label_ids}
        found: dict[int, list[int]] = {}
        for entry in classes:
            for value in entry.ids:
                if value not in labels:
                    found.setdefault(value, []).append(entry.class_id)
        return {value: tuple(sorted(found[value])) for value in sorted(found)}

    def regions(self, dataset: str, mask: NDArray[Any]) -> dict[int, NDArray[np.bool_]]:
        """Return where each label of a mask lies, by its id: those of classes, of instances, and ids of no class.

        Labels that overlap share voxels. A combination of classes that have no label of their own is one by itself.
        """
        present = set(np.unique(mask[mask > 0]).tolist())
        values = {
            entry.label: entry.ids
            for entry in self.of_dataset(dataset)
            if entry.label is not None and present.intersection(entry.ids)
        }
        covered = {value for ids in values.values() for value in ids}
        values |= {value: (value,) for value in present - covered}
        return {label: np.isin(mask, values[label]) for label in sorted(values)}

    def of_masks(self, dataset: str, rendition: str) -> MaskClasses:
        """Return what the masks of a dataset and rendition hold.

        A mask keeps the ids of the classes that its rendition shows. It keeps all when that is every class of
        the dataset, ids that no class has included, and where ids number instances.
        """
        every, shown = self.of_dataset(dataset), self.shown(dataset, rendition)
        values = tuple((entry.class_id, entry.values) for entry in shown)
        if len(shown) == len(every) or any(entry.instance for entry in every):
            return MaskClasses(values, None)
        return MaskClasses(values, tuple(sorted({label for entry in shown for label in entry.ids})))

    @cached_property
    def _datasets(self) -> Mapping[str, tuple[ClassEntry, ...]]:
        found: dict[str, list[ClassEntry]] = {}
        for entry in self.entries:
            found.setdefault(entry.dataset, []).append(entry)
        return {dataset: tuple(entries) for dataset, entries in found.items()}


def _entry(row: Mapping[str, Any]) -> ClassEntry:
    lists: Iterable[str] = ("ids", "label_ids", "prompts", "renditions")
    return ClassEntry(**{**row, **{name: tuple(row[name]) for name in lists}})
