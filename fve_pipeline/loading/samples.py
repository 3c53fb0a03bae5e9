"""The index of one or several stores as numpy columns: what samplers work on. No disk here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fve_pipeline.errors import LoadingError
from fve_pipeline.store.runs import Runs

__all__ = ["SampleIndex"]

Ints = NDArray[Any]  # of integers


@dataclass(frozen=True)
class SampleIndex:
    """Samples of all stores, numbered through: sample ``offsets[s] + row`` is row ``row`` of store s.

    ``dataset``, ``case``, ``rendition``, ``view`` and ``split`` are codes into ``names[column]``, shared by all
    stores. ``runs`` are theirs, none across two stores.
    ``positive_sample`` and ``positive_class`` list every class that a sample holds, parallel, in sample order.
    """

    offsets: Ints
    dataset: Ints
    case: Ints
    rendition: Ints
    view: Ints
    split: Ints
    slice: Ints
    runs: Runs
    positive_sample: Ints
    positive_class: Ints
    names: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, tables: Sequence[pa.Table]) -> SampleIndex:
        """From the ``index`` tables of stores, in order."""
        coded = {name: _codes([t.column(name) for t in tables]) for name in _CODED}
        slices = np.concatenate([t.column("slice").to_numpy() for t in tables])
        lengths = [t.num_rows for t in tables]
        classes = [t.column("class_ids").combine_chunks() for t in tables]
        counts = np.concatenate([pc.list_value_length(c).to_numpy(zero_copy_only=False) for c in classes])
        held = np.concatenate([pc.list_flatten(c).to_numpy(zero_copy_only=False) for c in classes])
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        columns = {name: codes for name, (codes, _) in coded.items()}
        return cls(
            offsets=offsets,
            **columns,
            slice=slices,
            runs=Runs.of_columns(
                np.repeat(np.arange(len(tables)), lengths),
                *(columns[n] for n in ("case", "rendition", "view")),
                slices=slices,
            ),
            positive_sample=np.repeat(np.arange(len(slices)), counts),
            positive_class=held,
            names={name: words for name, (_, words) in coded.items()},
        )

    def __len__(self) -> int:
        return len(self.slice)

    @cached_property
    def store(self) -> Ints:
        """Which store each sample is in."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @cached_property
    def holds_any(self) -> NDArray[np.bool_]:
        """Whether a sample holds any class."""
        found = np.zeros(len(self), bool)
        found[self.positive_sample] = True
        return found

    def where(self, **chosen: Collection[str]) -> Ints:
        """Return samples whose columns have one of the chosen names; an empty choice takes all.

        Raises LoadingError for a name that no sample has.
        """
        keep = np.ones(len(self), bool)
        for column, wanted in chosen.items():
            if not wanted:
                continue
            known = self.names[column]
            missing = sorted(set(wanted) - set(known))
            if missing:
                shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
                msg = f"no sample has {column} {missing[0]!r}; the stores have: {shown}"
                raise LoadingError(msg)
            keep &= np.isin(getattr(self, column), [known.index(name) for name in wanted])
        return np.flatnonzero(keep)

    def holding(self, class_id: int, dataset: str) -> Ints:
        """Return samples of ``dataset`` that hold the class."""
        code = self.names["dataset"].index(dataset)
        found = self.positive_sample[self.positive_class == class_id]
        held: Ints = found[self.dataset[found] == code]
        return held


_CODED = ("dataset", "case", "rendition", "view", "split")


def _codes(columns: Sequence[pa.ChunkedArray]) -> tuple[Ints, tuple[str, ...]]:
    """Codes of dictionary columns, and the words they stand for, over all of them."""
    whole = pa.chunked_array([chunk for column in columns for chunk in column.chunks], columns[0].type)
    joined = whole.unify_dictionaries()
    words: tuple[str, ...] = tuple(joined.chunk(0).dictionary.to_pylist()) if joined.num_chunks else ()
    # Chunks may each have grown the shared dictionary; the last one holds all of it.
    for chunk in joined.chunks:
        words = max(words, tuple(chunk.dictionary.to_pylist()), key=len)
    parts = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in joined.chunks]
    return np.concatenate(parts or [np.empty(0, np.int32)]), words
