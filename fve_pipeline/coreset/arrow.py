"""Columns of a pyarrow table as numpy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["codes", "fixed", "ragged", "strings"]


def strings(table: pa.Table, name: str) -> list[str]:
    """Column ``name`` as Python strings, "" where it is null or absent."""
    if name not in table.column_names:
        return [""] * table.num_rows
    return [value or "" for value in table.column(name).to_pylist()]


def codes(values: list[str]) -> tuple[np.ndarray[Any, Any], tuple[str, ...]]:
    """Each value's number in order of first appearance, int32 (n,), and the values so numbered."""
    numbers: dict[str, int] = {}
    out = np.fromiter((numbers.setdefault(value, len(numbers)) for value in values), np.int32, len(values))
    return out, tuple(numbers)


def ragged(table: pa.Table, name: str) -> tuple[Any, np.ndarray[Any, Any]]:
    """Return a list column as its flattened pyarrow values and the lists' lengths, int64 (n,); null is empty."""
    column = table.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # no chunk at all
        column = pa.array([], column.type)
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return column.flatten(), lengths


def fixed(values: Any, width: int) -> np.ndarray[Any, Any]:
    """Return a fixed-size list array (or its chunked form) as float64 (n, width), NaN where null."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if len(values) == 0:
        return np.empty((0, width))
    if values.null_count:
        rows = [[np.nan] * width if row is None else row for row in values.to_pylist()]
        return np.asarray(rows, np.float64)
    return np.asarray(values.flatten().to_numpy(zero_copy_only=False), np.float64).reshape(-1, width)
