"""Where cases go when a store changes: dense, each once, and few of them moved."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fve_pipeline.build.relay import Laid, relay


def starts(order: list[Laid]) -> dict[str, int]:
    found, row = {}, 0
    for laid in order:
        found[laid.case] = row
        row += laid.rows
    return found


def moved(before: list[Laid], after: list[Laid]) -> int:
    """Rows that lie elsewhere than before, or are new."""
    was, now = starts(before), starts(after)
    return sum(laid.rows for laid in after if now[laid.case] != was.get(laid.case))


def test_a_gap_is_filled_from_the_end() -> None:
    before = [Laid("a", 5), Laid("b", 7), Laid("c", 4), Laid("d", 7)]
    assert relay(before, {"a": 5, "c": 4, "d": 7}) == [Laid("a", 5), Laid("d", 7), Laid("c", 4)]


def test_a_case_of_the_same_length_stays_where_it_is() -> None:
    before = [Laid("a", 5), Laid("b", 7), Laid("c", 4)]
    assert relay(before, {"a": 5, "b": 7, "c": 4}) == before


def test_a_new_case_fills_a_gap_that_it_fits() -> None:
    before = [Laid("a", 5), Laid("b", 7), Laid("c", 4)]
    after = {"a": 5, "c": 4, "x": 3, "y": 7}
    assert relay(before, after) == [Laid("a", 5), Laid("y", 7), Laid("c", 4), Laid("x", 3)]


def test_neighbours_make_a_gap_wider_where_no_sum_fits() -> None:
    # The end has only lengths of 10; 13 + 7 is what they fill.
    before = [Laid("a", 5), Laid("gone", 13), Laid("c", 7), *(Laid(f"m{i}", 9) for i in range(9))]
    before += [Laid(f"t{i}", 10) for i in range(60)]
    after = {laid.case: laid.rows for laid in before if laid.case != "gone"}
    order = relay(before, after)
    assert moved(before, order) <= 40


def test_what_fits_nowhere_moves_everything_up() -> None:
    before = [Laid("gone", 3), *(Laid(f"t{i}", 10) for i in range(5))]
    assert relay(before, {f"t{i}": 10 for i in range(5)}) == before[1:]


lengths = st.integers(1, 30)


@given(
    st.lists(lengths, max_size=40),
    st.lists(st.integers(0, 39), max_size=8),
    st.lists(st.tuples(st.integers(0, 39), lengths), max_size=5),
    st.lists(lengths, max_size=4),
)
def test_every_case_is_there_once_and_none_before_the_first_change_moves(
    rows: list[int], gone: list[int], changed: list[tuple[int, int]], new: list[int]
) -> None:
    before = [Laid(f"c{i}", n) for i, n in enumerate(rows)]
    after = {laid.case: laid.rows for i, laid in enumerate(before) if i not in gone}
    after |= {f"c{i}": n for i, n in changed if f"c{i}" in after}
    after |= {f"n{i}": n for i, n in enumerate(new)}
    order = relay(before, after)
    assert sorted(order) == sorted(Laid(*item) for item in after.items())
    same = next((i for i, laid in enumerate(before) if after.get(laid.case) != laid.rows), len(before))
    assert order[:same] == before[:same]
    assert relay(order, dict(order)) == order


@pytest.mark.parametrize("gone", [0, 40, 120, 149])
@pytest.mark.parametrize("seed", range(5))
def test_one_case_less_moves_few_others(seed: int, gone: int) -> None:
    rows = np.random.default_rng(seed).integers(40, 400, 150).tolist()
    before = [Laid(f"c{i}", n) for i, n in enumerate(rows)]
    after = {laid.case: laid.rows for i, laid in enumerate(before) if i != gone}
    assert moved(before, relay(before, after)) < 0.12 * sum(rows)
