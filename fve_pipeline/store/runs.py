"""Where runs begin: consecutive slices of one case, rendition and view, each a ``range`` of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["RunPart", "Runs"]


@dataclass(frozen=True, slots=True)
class RunPart:
    """Rows of a run that were asked for, and the whole run, where their context lies."""

    run: range
    rows: range


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of ``size`` rows: ``starts`` (int64, ascending) are their first rows.

    Finding them turns no row into a Python object. Iterating gives each run, in order.
    """

    starts: NDArray[np.int64]
    size: int

    @classmethod
    def of(cls, index: pa.Table) -> Runs:
        """Return the runs of an index, or of consecutive rows of one."""
        keys = (index.column(name).combine_chunks() for name in ("case", "rendition", "view"))
        codes = (key.indices.to_numpy(zero_copy_only=False) for key in keys)
        return cls.of_columns(*codes, slices=index.column("slice").to_numpy())

    @classmethod
    def of_columns(cls, *columns: NDArray[Any], slices: NDArray[Any]) -> Runs:
        """Return the runs of rows that columns of codes describe, (n,) each.

        A run ends where one of the columns changes, or a slice does not follow the one before.
        """
        new = np.ones(len(slices), bool)
        new[1:] = slices[1:] != slices[:-1] + 1
        for column in columns:
            new[1:] |= column[1:] != column[:-1]
        return cls(np.flatnonzero(new).astype(np.int64), len(slices))

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[range]:
        return map(self._run, range(len(self)))

    def cut_at(self, rows: NDArray[np.integer[Any]]) -> Runs:
        """Return the runs with further ones beginning at ``rows``."""
        return Runs(np.union1d(self.starts, rows).astype(np.int64), self.size)

    def of_row(self, row: int) -> range:
        """Return the run that a row belongs to."""
        return self._run(int(np.searchsorted(self.starts, row, side="right")) - 1)

    def of_rows(self, rows: NDArray[np.integer[Any]]) -> list[range]:
        """Return the runs that any of ``rows`` belong to, in order."""
        found = np.unique(np.searchsorted(self.starts, rows, side="right") - 1)
        return [self._run(place) for place in found.tolist()]

    def parts(self, rows: range) -> list[RunPart]:
        """Return what consecutive ``rows`` take of each run that they touch, in order."""
        low = int(np.searchsorted(self.starts, rows.start, side="right")) - 1
        high = int(np.searchsorted(self.starts, rows.stop, side="left")) if rows else low
        runs = map(self._run, range(low, high))
        return [RunPart(run, range(max(run.start, rows.start), min(run.stop, rows.stop))) for run in runs]

    def _run(self, place: int) -> range:
        stop = int(self.starts[place + 1]) if place + 1 < len(self.starts) else self.size
        return range(int(self.starts[place]), stop)
