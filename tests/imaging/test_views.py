"""Which axes are sliced: the paper's rule and the released code's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fve_pipeline.imaging.views import VIEWS, ViewRule, choose_views, in_plane_ratio, take_view, untake_view

ONE = (1.0, 1.0, 1.0)
shapes = st.tuples(*[st.integers(1, 600)] * 3)
rules = st.sampled_from(["paper", "released"])


@pytest.mark.parametrize(
    ("shape", "paper", "released"),
    [
        ((100, 512, 512), "axial", "axial"),
        ((60, 50, 100), "sagittal", "coronal"),
        ((50, 60, 100), "sagittal", "axial"),  # the axial ratio is 0.5, which is not under 0.5
        ((100, 100, 20), "sagittal", "sagittal"),
        ((100, 20, 100), "coronal", "coronal"),
        ((40, 90, 40), "coronal", "axial"),  # the first of two shortest axes
        ((30, 20, 200), "sagittal", "coronal"),
    ],
)
def test_one_view(shape: tuple[int, int, int], paper: str, released: str) -> None:
    assert choose_views(shape, ONE, "paper") == (paper,)
    assert choose_views(shape, ONE, "released") == (released,)


@pytest.mark.parametrize(
    ("spacing", "paper", "released"),
    [
        ((1.0, 1.0, 1.0), 3, 3),
        ((1.05, 1.0, 1.1), 3, 3),
        ((0.9, 1.0, 1.0), 1, 3),  # exactly 10 %
        ((2.7, 3.0, 3.0), 1, 3),
        ((0.89, 1.0, 1.0), 1, 1),
    ],
)
def test_training_views_need_similar_spacings(
    spacing: tuple[float, float, float], paper: int, released: int
) -> None:
    shape = (100, 110, 120)
    assert len(choose_views(shape, spacing, "paper", training=True)) == paper
    assert len(choose_views(shape, spacing, "released", training=True)) == released
    assert choose_views(shape, spacing, "paper") == ("axial",)


def test_training_views_need_similar_sides() -> None:
    assert choose_views((60, 100, 100), ONE, training=True) == ("axial",)  # 2·40/160 is exactly 0.5
    assert choose_views((61, 100, 100), ONE, training=True) == VIEWS


@given(shapes, rules)
def test_paper_takes_the_lowest_ratio_and_released_the_shortest_axis(
    shape: tuple[int, int, int], rule: ViewRule
) -> None:
    (view,) = choose_views(shape, ONE, rule)
    if in_plane_ratio(shape, "axial") < 0.5:
        assert view == "axial"
    elif rule == "paper":
        assert in_plane_ratio(shape, view) == min(in_plane_ratio(shape, other) for other in VIEWS)
    else:
        assert shape[VIEWS.index(view)] == min(shape)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_taken_and_put_back_without_a_copy(view: str) -> None:
    volume = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    slices = take_view(volume, view)
    assert len(slices) == volume.shape[VIEWS.index(view)]
    assert np.shares_memory(slices, volume)
    assert np.array_equal(untake_view(slices, view), volume)


def test_each_view_keeps_the_other_axes_in_order() -> None:
    volume = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    assert np.array_equal(take_view(volume, "coronal")[1], volume[:, 1])
    assert np.array_equal(take_view(volume, "sagittal")[3], volume[:, :, 3])
