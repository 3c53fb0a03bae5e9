from __future__ import annotations

import numpy as np
import pyarrow as pa
from made_cases import made_tables

from fve_pipeline.coreset import Pool, Tables, select
from fve_pipeline.coreset.groups import duplicate_groups, keep_one, siblings
from fve_pipeline.coreset.table import CaseTable


def _with(tables: Tables, column: str, values: list[str]) -> Tables:
    place = tables.cases.column_names.index(column)
    return Tables(tables.cases.set_column(place, column, pa.array(values)), tables.classes, tables.content_id)


def test_equal_pixels_take_one_slot_and_no_catalog_loses_all() -> None:
    # The same ten images in two catalogs, and an image whose hash is unknown.
    tables = made_tables({"CT_organs": [[1, 2, 3]] * 10, "CT_bones": [[1]] * 10, "CT_other": [[1]]})
    tables = _with(tables, "pixels_sha256", [f"p{i}" for i in range(10)] * 2 + [""])
    pool = Pool.of([tables])
    assert pool.eligible == 21
    assert pool.duplicates == 10
    assert sorted(pool.table.dataset.counts().tolist()) == [1, 5, 5]
    assert len(set(pool.table.images)) == 11
    assert any("10 duplicates" in note for note in pool.notes)


def test_duplicates_of_one_catalog_keep_the_first() -> None:
    tables = _with(made_tables({"CT_a": [[1]] * 4}), "pixels_sha256", ["p", "q", "p", "p"])
    table = CaseTable.of(tables.cases)
    assert duplicate_groups(table) == [[0, 2, 3]]
    np.testing.assert_array_equal(keep_one(table, [[0, 2, 3]]), [True, True, False, False])


def test_siblings_are_reported_and_each_counts() -> None:
    tables = made_tables({"MR_t1": [[1]] * 3, "CT_x": [[1]] * 2})
    tables = _with(tables, "subject", ["s0", "s1", "s2", "s0", "s0"])
    found = siblings(CaseTable.of(tables.cases))
    assert (found.subjects, found.cases, found.across_datasets, found.across_modalities) == (1, 3, 1, 1)
    assert len(select(Pool.of([tables]), fraction=1.0)) == 5
    one = Pool.of([tables], one_per_subject=True)
    assert len(one.table) == 3
    assert len(set(one.table.subject.codes.tolist())) == 3
    assert select(one, cases=3).one_per_subject


def test_asking_for_more_than_is_left_says_how_many() -> None:
    tables = _with(made_tables({"CT_a": [[1]] * 4}), "pixels_sha256", ["p"] * 4)
    chosen = select(Pool.of([tables]), cases=3)
    assert len(chosen) == 1
    assert "3 cases were asked for, 1 are left to choose from: all are taken" in chosen.notes
