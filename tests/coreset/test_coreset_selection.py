from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_cases import made_pool, made_tables, uneven

from fve_pipeline.coreset import Pool, Tables, load_selection, select
from fve_pipeline.errors import CoresetError
from fve_pipeline.store.query import rows_of_cases


def test_round_trip_and_equal_bytes(tmp_path: Path) -> None:
    chosen = select(made_pool(uneven()), fraction=0.1, seed=2)
    for name in ("a.parquet", "b.parquet"):
        chosen.save(tmp_path / name)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    again = load_selection(tmp_path / "a.parquet")
    assert again.case_ids == chosen.case_ids
    for name in type(chosen).__slots__:
        assert getattr(again, name) == getattr(chosen, name), name


def test_files_that_are_no_selection(tmp_path: Path) -> None:
    with pytest.raises(CoresetError, match=r"gone\.parquet: no such selection file"):
        load_selection(tmp_path / "gone.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(CoresetError, match=r"text\.parquet: not a selection file"):
        load_selection(tmp_path / "text.parquet")
    pq.write_table(pa.table({"case": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(CoresetError, match=r"other\.parquet: Parquet, but not written by fve coreset"):
        load_selection(tmp_path / "other.parquet")


def test_checked_against_stores() -> None:
    tables = made_tables(uneven())
    pool = Pool.of([tables])
    chosen = select(pool, cases=20)
    assert chosen.check(pool.table.ids, "a" * 64) == []
    (warning,) = chosen.check(pool.table.ids, "b" * 64)
    assert "this store is bbbbbbbbbbbb and has 20 of the 20 chosen cases" in warning
    some = [case for case in pool.table.ids if case != chosen.case_ids[0]]
    assert "19 of the 20" in chosen.check(some, "b" * 64)[0]
    with pytest.raises(CoresetError, match="has 19 of the 20 chosen cases"):
        chosen.check(some, "a" * 64)
    with pytest.raises(CoresetError, match="has 0 of the 20 chosen cases"):
        chosen.check(["x/y"], "b" * 64)


def test_selection_from_two_stores_used_with_one() -> None:
    one = made_tables({"CT_a": [[1]] * 10})
    two = Tables(
        *(getattr(made_tables({"MR_b": [[1]] * 10}), name) for name in ("cases", "classes")), "b" * 64
    )
    chosen = select(Pool.of([one, two]), cases=10)
    assert [source.cases for source in chosen.sources] == [10, 10]
    (warning,) = chosen.check(one.cases.column("case").to_pylist(), "a" * 64)
    assert "made from 2 stores; this one has 5 of the 10" in warning


@given(
    st.lists(st.sampled_from("abcdef"), max_size=40),
    st.sets(st.sampled_from("abcdefgh")),
    st.integers(1, 5),
    st.booleans(),
)
def test_filtering_an_index(cases: list[str], wanted: set[str], chunks: int, dictionary: bool) -> None:
    parts = [pa.array(part.tolist(), pa.string()) for part in np.array_split(np.array(cases, object), chunks)]
    column = pa.chunked_array([part.dictionary_encode() if dictionary else part for part in parts])
    rows = rows_of_cases(pa.table({"case": column}), sorted(wanted))
    assert rows.tolist() == [row for row, case in enumerate(cases) if case in wanted]
