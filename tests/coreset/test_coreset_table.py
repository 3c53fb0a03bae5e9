from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_cases import made_tables

from fve_pipeline.coreset.table import CaseTable
from fve_pipeline.errors import CoresetError

LABELS = st.dictionaries(
    st.sampled_from(["CT_a", "CT_b", "MR_a"]),
    st.lists(st.lists(st.integers(1, 6), unique=True, max_size=5), min_size=1, max_size=6),
    min_size=1,
)


@given(LABELS, st.randoms(use_true_random=False))
def test_take_keeps_every_cases_classes(labels: dict[str, list[list[int]]], random: object) -> None:
    tables = made_tables(labels)
    table = CaseTable.of(tables.cases, tables.classes)
    wanted = {
        f"{d}/c{i}": {(d, c) for c in classes}
        for d, cases in labels.items()
        for i, classes in enumerate(cases)
    }
    rows = list(range(len(table)))
    random.shuffle(rows)  # type: ignore[attr-defined]
    part = table.take(rows[: max(1, len(rows) // 2)])
    for row, case in enumerate(part.ids):
        assert {table.classes[c][:2] for c in part.classes_of(row).tolist()} == wanted[case]
    assert part.positives().sum() == sum(len(wanted[case]) for case in part.ids)


def test_same_id_in_two_datasets_is_two_classes() -> None:
    tables = made_tables({"CT_a": [[1], [1]], "CT_b": [[1]]})
    assert CaseTable.of(tables.cases, tables.classes).positives().tolist() == [2, 1]


def test_declared_classes_without_a_case_and_undeclared_ones_are_counted() -> None:
    cases = made_tables({"CT_a": [[2], [7]]}).cases
    declared = pa.table(
        {"dataset": ["CT_a", "CT_a"], "class_id": pa.array([1, 2], pa.uint16()), "name": ["x", "y"]}
    )
    table = CaseTable.of(cases, declared)
    assert [str(key) for key in table.classes] == ["CT_a/1 (x)", "CT_a/2 (y)", "CT_a/7"]
    assert table.positives().tolist() == [0, 1, 1]


def test_sliced_and_chunked_tables_read_the_same() -> None:
    cases = made_tables({"CT_a": [[1], [], [2, 3], [3]]}).cases
    pieces = pa.concat_tables([cases.slice(0, 1), cases.slice(1, 1), cases.slice(2)])
    whole, table = CaseTable.of(cases), CaseTable.of(pieces)
    np.testing.assert_array_equal(table.indices, whole.indices)
    np.testing.assert_array_equal(table.indptr, whole.indptr)
    assert CaseTable.of(cases.slice(2)).positives().tolist() == [1, 2]


def test_case_ids_must_be_unique() -> None:
    cases = made_tables({"CT_a": [[1], [1]]}).cases
    with pytest.raises(CoresetError, match=r"2 case ids occur more than once, the first is 'CT_a/c0'"):
        CaseTable.of(pa.concat_tables([cases, cases]))


def test_missing_column_is_named() -> None:
    cases = made_tables({"CT_a": [[1]]}).cases
    with pytest.raises(CoresetError, match="no column subject"):
        CaseTable.of(cases.drop_columns(["subject"]))
