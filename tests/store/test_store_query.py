"""Rows by class, against the plain way."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from fve_pipeline.store.query import rows_of_class
from fve_pipeline.store.schema import INDEX_SCHEMA

rows = st.lists(st.tuples(st.sampled_from("ab"), st.sets(st.integers(1, 4))), max_size=12)


@given(rows=rows, cut=st.integers(0, 12), skip=st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_rows_of_class(rows: list[tuple[str, set[int]]], cut: int, skip: int) -> None:
    schema = pa.schema([INDEX_SCHEMA.field("dataset"), INDEX_SCHEMA.field("class_ids")])
    table = pa.Table.from_pylist([{"dataset": d, "class_ids": sorted(ids)} for d, ids in rows], schema)
    table = pa.concat_tables([table.slice(0, cut), table.slice(cut)]).slice(skip)
    expected = [i for i, (d, ids) in enumerate(rows[skip:]) if d == "b" and 3 in ids]
    found = rows_of_class(table, "b", 3)
    assert found.tolist() == expected
    assert found.dtype == np.int64
