"""Dual-rate sampling over tables made here: nothing on disk."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fve_pipeline.bio2vol.sampling import draw_classes, paths, sequence_runs, sub_volume, window_starts
from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.loading.samples import SampleIndex


def table(runs: list[tuple[str, str, str, list[int], float]]) -> pa.Table:
    """An index of (case, rendition, view, slices, mm between them) runs."""
    rows = [
        {
            "dataset": "made",
            "case": case,
            "rendition": rendition,
            "view": view,
            "split": "train",
            "slice": s,
            "z_mm": step * s,
            "spacing": [3.0, 1.0, 1.0],
            "class_ids": [1],
        }
        for case, rendition, view, slices, step in runs
        for s in slices
    ]
    found = pa.Table.from_pylist(rows)
    for name in ("dataset", "case", "rendition", "view", "split"):
        place = found.column_names.index(name)
        found = found.set_column(place, name, found.column(name).dictionary_encode())
    place = found.column_names.index("spacing")
    return found.set_column(place, "spacing", found.column("spacing").cast(pa.list_(pa.float32(), 3)))


def test_the_papers_paths() -> None:
    assert paths(Bio2VolSettings()) == (range(0, 7, 1), range(0, 7, 2))
    assert [list(p) for p in paths(Bio2VolSettings())] == [[0, 1, 2, 3, 4, 5, 6], [0, 2, 4, 6]]
    assert [list(p) for p in paths(Bio2VolSettings(depth=8, dense_rate=2, sparse_rate=3))] == [
        [0, 2, 4, 6],
        [0, 3, 6],
    ]
    assert [list(p) for p in paths(Bio2VolSettings(depth=1))] == [[0], [0]]
    assert paths(Bio2VolSettings(sparse_rate=0)) == (range(7),)


@given(
    centre=st.integers(0, 30), first=st.integers(0, 30), length=st.integers(1, 40), depth=st.integers(1, 12)
)
def test_a_sub_volume_stays_in_its_run_and_repeats_its_ends(
    centre: int, first: int, length: int, depth: int
) -> None:
    run = range(first, first + length)
    centre = min(max(centre, run.start), run.stop - 1)
    found = sub_volume(centre - depth // 2, run, Bio2VolSettings(depth=depth))
    rows = [found.rows[place] for place in found.places]
    assert len(rows) == depth
    assert centre in rows
    assert run.start <= min(rows)
    assert max(rows) < run.stop
    assert set(rows) == set(found.rows)
    steps = np.diff(rows)
    assert set(steps.tolist()) <= {0, 1}
    for i in np.flatnonzero(steps == 0):  # only past an end is a slice seen again
        assert rows[i] in (run.start, run.stop - 1)


def test_slices_that_no_path_reads_are_left_out() -> None:
    found = sub_volume(4, range(3, 10), Bio2VolSettings(depth=8, dense_rate=2, sparse_rate=3))
    assert found.rows == (4, 6, 7, 8, 9)  # places 0, 2, 3, 4 and 6, which is past the end
    assert found.places == (0, -1, 1, 2, 3, -1, 4, -1)


@given(
    depth=st.integers(1, 60),
    d=st.integers(1, 12),
    dense=st.integers(1, 4),
    sparse=st.integers(0, 6),
    stride=st.integers(1, 12) | st.none(),
)
def test_windows_predict_every_slice(depth: int, d: int, dense: int, sparse: int, stride: int | None) -> None:
    try:
        settings = Bio2VolSettings(depth=d, dense_rate=dense, sparse_rate=sparse, stride=stride)
    except ValidationError:
        assert 0 < sparse <= dense or (stride or 1) > (1 if dense > 1 else d)
        return
    starts = list(window_starts(depth, settings))
    assert starts == sorted(set(starts))
    seen = set()
    for start in starts:
        assert 0 <= start < depth
        seen |= set(sub_volume(start, range(depth), settings).rows)
    assert seen == set(range(depth))
    if dense == 1 and depth > d:
        assert starts[-1] + d == depth


def test_sequences_never_cross_a_case_a_rendition_a_view_or_a_gap() -> None:
    tables = [
        table(
            [
                ("a", "soft", "axial", [0, 1, 2], 3.0),
                ("a", "lung", "axial", [0, 1, 2], 3.0),
                ("a", "lung", "coronal", [3, 4], 1.0),
                ("b", "soft", "axial", [5, 6, 8, 9], 3.0),  # slice 7 is not there
                ("c", "soft", "axial", [0, 1], 2.1),  # oblique: closer along z than apart
            ]
        ),
        table([("c", "soft", "axial", [2, 3], 2.1)]),  # another store, which goes on where the first ends
    ]
    index = SampleIndex.of(tables)
    runs = sequence_runs(index, tables)
    assert runs.starts.tolist() == [0, 3, 6, 8, 10, 12, 14]
    assert [runs.of_row(i) for i in (0, 2, 8, 9, 10, 13, 15)] == [
        range(3),
        range(3),
        range(8, 10),
        range(8, 10),
        range(10, 12),
        range(12, 14),
        range(14, 16),
    ]


def test_a_jump_in_z_between_consecutive_slices_ends_a_run() -> None:
    made = table([("a", "soft", "axial", [0, 1, 2, 3], 3.0)])
    z = pa.array([0.0, 3.0, 12.0, 15.0])
    made = made.set_column(made.column_names.index("z_mm"), "z_mm", z)
    index = SampleIndex.of([made])
    assert index.runs.starts.tolist() == [0]
    assert sequence_runs(index, [made]).starts.tolist() == [0, 2]


@given(
    held=st.sets(st.integers(0, 9)),
    every=st.lists(st.integers(0, 9), min_size=1, max_size=10, unique=True),
    count=st.integers(1, 6),
    key=st.integers(0, 1000),
)
def test_the_first_class_is_one_that_the_centre_holds(
    held: set[int], every: list[int], count: int, key: int
) -> None:
    picked, words = draw_classes(held, every, count, (key, 1))
    assert len(picked) == len(words) == count
    assert len(set(picked)) == min(count, len(every))
    if held & set(every):
        assert every[picked[0]] in held
    again, _ = draw_classes(held, every, count, (key, 1))
    assert again == picked


def test_every_held_class_gets_its_turn() -> None:
    first = [draw_classes({3, 5}, [1, 3, 5, 7], 2, (0, n))[0] for n in range(200)]
    assert {place for place, _ in first} == {1, 2}
    assert {place for _, place in first} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "wrong", [{"sparse_rate": 1}, {"offset": 0}, {"stride": 8}, {"depth": 0}, {"dense_rate": 2, "stride": 2}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        Bio2VolSettings.model_validate(wrong)
