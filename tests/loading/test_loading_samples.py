"""The index as columns: runs, choices, positives."""

from __future__ import annotations

import numpy as np
import pytest
from index_maker import index, many, table

from fve_pipeline.errors import LoadingError


def test_runs_end_with_the_case_the_view_and_the_store() -> None:
    both = index(table({"a/1": 3, "a/2": 2}, views=("axial", "coronal")), table({"a/1": 4}))
    assert both.runs.starts.tolist() == [0, 3, 6, 8, 10]
    assert both.runs.of_row(0) == range(3)
    assert both.runs.of_row(5) == range(3, 6)
    assert both.runs.of_row(9) == range(8, 10)
    assert both.runs.of_row(13) == range(10, 14)


def test_names_are_shared_between_stores_that_list_them_differently() -> None:
    both = index(table({"a/1": 2, "b/1": 2}), table({"b/2": 1, "a/1": 1}))
    names = [both.names["dataset"][code] for code in both.dataset]
    assert names == ["a", "a", "b", "b", "b", "a"]
    assert both.store.tolist() == [0, 0, 0, 0, 1, 1]
    assert both.case[0] == both.case[5]


def test_choices_are_combined() -> None:
    samples = many({"a": 2, "b": 2}, slices=3, views=("axial", "coronal"))
    chosen = samples.where(dataset=("b",), view=("coronal",), split=())
    assert len(chosen) == 6
    assert {samples.names["case"][c] for c in samples.case[chosen]} == {"b/0", "b/1"}


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(LoadingError, match="'oblique'; the stores have: axial"):
        many({"a": 1}).where(view=("oblique",))


def test_holding_finds_a_class_of_one_dataset() -> None:
    samples = many({"a": 3, "b": 3}, held={1: 0.3, 7: 0.6})
    found = samples.holding(7, "b")
    expected = [
        s
        for s in range(len(samples))
        if samples.names["dataset"][samples.dataset[s]] == "b"
        and 7 in samples.positive_class[samples.positive_sample == s]
    ]
    assert found.tolist() == expected
    assert np.array_equal(np.flatnonzero(samples.holds_any), np.unique(samples.positive_sample))
