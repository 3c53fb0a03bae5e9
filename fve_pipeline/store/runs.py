"""Where a store's runs begin: the slices of one case, rendition and view, which lie in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["Run", "Runs"]


@dataclass(frozen=True, slots=True)
class Run:
    """Rows ``start`` to ``stop`` of a store."""

    rendition: str
    view: str
    start: int
    stop: int


class Runs:
    """The runs of an index, found without turning a row into a Python object."""

    def __init__(self, index: pa.Table) -> None:
        self._index = index
        keys = [_codes(index, name) for name in ("case", "rendition", "view")]
        change = np.any([key[1:] != key[:-1] for key in keys], axis=0)
        self._starts = np.concatenate([[0], np.flatnonzero(change) + 1])
        self._stops = np.append(self._starts[1:], len(index))
        names = index.column("case").combine_chunks().dictionary.to_pylist()
        self._numbers = {name: number for number, name in enumerate(names)}
        self._case_of_run = keys[0][self._starts]

    def of_case(self, case: str) -> list[Run]:
        """Runs of a case, in the store's order. Raises KeyError when it has none."""
        found = np.flatnonzero(self._case_of_run == self._numbers[case]).tolist()
        return [self._run(int(self._starts[i]), int(self._stops[i])) for i in found]

    def of_row(self, row: int) -> Run:
        """The run that a row belongs to."""
        i = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._run(int(self._starts[i]), int(self._stops[i]))

    def _run(self, start: int, stop: int) -> Run:
        rendition, view = (self._index.column(name)[start].as_py() for name in ("rendition", "view"))
        return Run(rendition, view, start, stop)


def _codes(index: pa.Table, name: str) -> NDArray[Any]:
    codes: NDArray[Any] = index.column(name).combine_chunks().indices.to_numpy(zero_copy_only=False)
    return codes
