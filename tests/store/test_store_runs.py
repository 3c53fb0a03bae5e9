"""Where runs begin: one answer, for a store's index and for columns of codes."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from fve_pipeline.store.runs import RunPart, Runs

Row = tuple[str, str, str, int]


def table(rows: list[Row], chunk: int = 1000) -> pa.Table:
    """An index of these rows, in chunks with a dictionary of their own each."""
    parts = []
    for first in range(0, max(1, len(rows)), chunk):
        own = rows[first : first + chunk]
        columns = {
            name: pa.array([row[i] for row in own], pa.string()).dictionary_encode()
            for i, name in enumerate(("case", "rendition", "view"))
        }
        parts.append(pa.table({**columns, "slice": pa.array([row[3] for row in own], pa.int32())}))
    return pa.concat_tables(parts)


@st.composite
def indexes(draw: st.DrawFn) -> list[Row]:
    rows: list[Row] = []
    for case in range(draw(st.integers(0, 4))):
        for rendition in draw(st.sampled_from([["a"], ["a", "b"]])):
            for view in draw(st.sampled_from([["axial"], ["axial", "coronal"]])):
                first = draw(st.integers(0, 3))
                slices = range(first, first + draw(st.integers(1, 5)))
                left_out = draw(st.sets(st.sampled_from(slices), max_size=1))
                rows += [(f"c{case}", rendition, view, z) for z in slices if z not in left_out]
    return rows


def one_by_one(rows: list[Row]) -> list[range]:
    starts = [
        i
        for i, row in enumerate(rows)
        if i == 0 or rows[i - 1][:3] != row[:3] or rows[i - 1][3] + 1 != row[3]
    ]
    return [range(a, b) for a, b in itertools.pairwise([*starts, len(rows)])] if rows else []


@given(indexes(), st.integers(1, 6))
def test_runs_are_those_found_row_by_row(rows: list[Row], chunk: int) -> None:
    runs, expected = Runs.of(table(rows, chunk)), one_by_one(rows)
    assert list(runs) == expected
    assert len(runs) == len(expected)
    for run in expected:
        assert {runs.of_row(row) for row in run} == {run}


@given(indexes(), st.data())
def test_parts_are_the_rows_that_were_asked_for(rows: list[Row], data: st.DataObject) -> None:
    runs = Runs.of(table(rows))
    start = data.draw(st.integers(0, len(rows)))
    asked = range(start, data.draw(st.integers(start, len(rows))))
    parts = runs.parts(asked)
    assert [row for part in parts for row in part.rows] == list(asked)
    assert all(len(part.rows) and set(part.rows) <= set(part.run) for part in parts)
    assert [part.run for part in parts] == runs.of_rows(np.array(asked, np.int64))


def test_a_part_knows_its_whole_run() -> None:
    rows = [("c0", "a", "axial", z) for z in range(5)] + [("c0", "b", "axial", z) for z in range(3)]
    assert Runs.of(table(rows)).parts(range(4, 7)) == [
        RunPart(range(5), range(4, 5)),
        RunPart(range(5, 8), range(5, 7)),
    ]


def test_runs_can_be_cut_further() -> None:
    runs = Runs(np.array([0, 5]), 8)
    assert list(runs.cut_at(np.array([5, 6]))) == [range(5), range(5, 6), range(6, 8)]
