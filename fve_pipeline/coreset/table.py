"""The cases that a coreset is chosen from, as arrays: who they are, and which classes each holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from fve_pipeline.coreset.arrow import codes, ragged, strings
from fve_pipeline.errors import CoresetError

__all__ = ["CaseTable", "ClassKey", "Coded"]

IntArray = np.ndarray[Any, np.dtype[np.int64]]

_REQUIRED = ("case", "dataset", "subject", "modality", "class_ids")


class ClassKey(NamedTuple):
    """One class of one dataset. The same organ in two datasets is two classes: their labels differ."""

    dataset: str
    class_id: int
    name: str

    def __str__(self) -> str:
        return (
            f"{self.dataset}/{self.class_id} ({self.name})"
            if self.name
            else f"{self.dataset}/{self.class_id}"
        )


@dataclass(frozen=True, eq=False)
class Coded:
    """Strings as numbers: ``codes`` int32 (n,) into ``names``."""

    codes: np.ndarray[Any, np.dtype[np.int32]]
    names: tuple[str, ...]

    @classmethod
    def of(cls, values: list[str]) -> Coded:
        """Return the values with their distinct ones numbered."""
        return cls(*codes(values))

    def __getitem__(self, row: int) -> str:
        return self.names[int(self.codes[row])]

    def take(self, rows: IntArray) -> Coded:
        """Return these rows under the same numbering."""
        return Coded(self.codes[rows], self.names)

    def counts(self) -> IntArray:
        """How many rows have each name, (len(names),)."""
        return np.bincount(self.codes, minlength=len(self.names))


@dataclass(frozen=True, eq=False)
class CaseTable:
    """Cases as arrays. Row i's classes are ``classes[j] for j in indices[indptr[i]:indptr[i + 1]]``.

    ``classes`` holds every class that the classes table declares, also those without a case, and after them
    the ones that only the cases name. Rows with equal ``images``, unless it is "", show the same image. ``facts`` is
    the pyarrow cases table, row for row.
    """

    ids: tuple[str, ...]
    dataset: Coded
    modality: Coded
    subject: Coded
    images: tuple[str, ...]
    split: tuple[str, ...]
    classes: tuple[ClassKey, ...]
    indptr: IntArray
    indices: IntArray
    facts: pa.Table

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, cases: pa.Table, classes: pa.Table | None = None) -> CaseTable:
        """From the tables ``cases`` and ``classes`` of one or several stores, already concatenated.

        Raises CoresetError when a column is missing or a case id occurs twice.
        """
        missing = [name for name in _REQUIRED if name not in cases.column_names]
        if missing:
            msg = (
                f"the cases table has no column {', '.join(missing)}; it has {', '.join(cases.column_names)}"
            )
            raise CoresetError(msg)
        ids = strings(cases, "case")
        _refuse_repeats(ids)
        dataset = Coded.of(strings(cases, "dataset"))
        values, lengths = ragged(cases, "class_ids")
        class_ids = values.to_numpy(zero_copy_only=False).astype(np.int64)
        keys, indices = _number_classes(dataset, np.repeat(dataset.codes, lengths), class_ids, classes)
        return cls(
            ids=tuple(ids),
            dataset=dataset,
            modality=Coded.of(strings(cases, "modality")),
            subject=Coded.of(strings(cases, "subject")),
            images=tuple(_images(cases)),
            split=tuple(strings(cases, "split")),
            classes=keys,
            indptr=np.concatenate([[0], np.cumsum(lengths)]),
            indices=indices,
            facts=cases,
        )

    def take(self, rows: Sequence[int] | IntArray) -> CaseTable:
        """Return these rows, in this order, with the same numbering of datasets, modalities and classes."""
        picked = np.asarray(rows, np.int64)
        lengths = np.diff(self.indptr)[picked]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        # Entry t of new row i is entry t of its old row.
        offsets = np.arange(int(indptr[-1])) - np.repeat(indptr[:-1], lengths)
        return CaseTable(
            ids=tuple(self.ids[i] for i in picked),
            dataset=self.dataset.take(picked),
            modality=self.modality.take(picked),
            subject=self.subject.take(picked),
            images=tuple(self.images[i] for i in picked),
            split=tuple(self.split[i] for i in picked),
            classes=self.classes,
            indptr=indptr,
            indices=self.indices[np.repeat(self.indptr[:-1][picked], lengths) + offsets],
            facts=self.facts.take(pa.array(picked)),
        )

    def classes_of(self, row: int) -> IntArray:
        """Return the numbers of row's classes."""
        return self.indices[self.indptr[row] : self.indptr[row + 1]]

    def positives(self) -> IntArray:
        """How many cases hold each class, (len(classes),)."""
        return np.bincount(self.indices, minlength=len(self.classes))


def _images(cases: pa.Table) -> Iterator[str]:
    """Hash of each case's prepared pixels; of its files and what is shown of them, where only a scan was made."""
    for pixels, shown in zip(strings(cases, "pixels_sha256"), strings(cases, "shown_sha256"), strict=True):
        yield pixels or shown


def _refuse_repeats(ids: list[str]) -> None:
    if len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    twice = sorted({case for case in ids if case in seen or seen.add(case)})  # type: ignore[func-returns-value]
    msg = (
        f"{len(twice)} case ids occur more than once, the first is {twice[0]!r}; "
        "give each store once, and datasets of different stores different names"
    )
    raise CoresetError(msg)


def _number_classes(
    dataset: Coded, entry_dataset: np.ndarray[Any, Any], entry_id: IntArray, classes: pa.Table | None
) -> tuple[tuple[ClassKey, ...], IntArray]:
    """Every (dataset, id) that is declared or occurs, and the number of each entry's."""
    number = {name: code for code, name in enumerate(dataset.names)}
    known: dict[int, int] = {}
    keys: list[ClassKey] = []
    if classes is not None:
        columns = (
            strings(classes, "dataset"),
            classes.column("class_id").to_pylist(),
            strings(classes, "name"),
        )
        for name, class_id, label in zip(*columns, strict=True):
            key = (number.setdefault(name, len(number)) << 16) | int(class_id)
            if key not in known:
                known[key] = len(keys)
                keys.append(ClassKey(name, int(class_id), label))
    packed = (entry_dataset.astype(np.int64) << 16) | entry_id
    unique, inverse = np.unique(packed, return_inverse=True)
    for key in unique.tolist():
        if key not in known:
            known[key] = len(keys)
            keys.append(ClassKey(dataset.names[key >> 16], key & 0xFFFF, ""))
    lookup = np.array([known[key] for key in unique.tolist()], np.int64)
    return tuple(keys), lookup[inverse] if len(unique) else np.empty(0, np.int64)
