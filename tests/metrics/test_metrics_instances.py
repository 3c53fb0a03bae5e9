"""F1 and Dice of true positives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reference_metrics import f1_brute_force, official_components, official_f1
from scipy import ndimage

from fve_pipeline.metrics import match_instances, split_components


def spheres(n: int) -> np.ndarray:
    """n small boxes on a grid."""
    labels = np.zeros((20, 60, 60), np.uint16)
    for i in range(n):
        z, y, x = np.unravel_index(i, (4, 12, 12))
        labels[5 * z : 5 * z + 4, 5 * y : 5 * y + 4, 5 * x : 5 * x + 4] = i + 1
    return labels


@settings(max_examples=60, deadline=None)
@given(
    truth=hnp.arrays(np.uint8, (3, 4, 4), elements=st.integers(0, 3)),
    pred=hnp.arrays(np.uint8, (3, 4, 4), elements=st.integers(0, 3)),
)
def test_against_brute_force(truth: np.ndarray, pred: np.ndarray) -> None:
    found = match_instances(truth, pred, threshold=0.5 + 1e-9)
    if truth.any() or pred.any():
        f1, dsc_tp = f1_brute_force(truth, pred)
        assert found.f1 == pytest.approx(f1)
        assert found.dsc_tp == pytest.approx(dsc_tp)
    else:
        assert math.isnan(found.f1)


def test_300_instances_some_lost_some_moved() -> None:
    truth = spheres(300)
    assert len(np.unique(truth)) == 301
    pred = np.roll(truth, 1, axis=2)  # each moved by one of four voxels: IoU 48 / 80 = 0.6
    pred[pred > 280] = 0
    found = match_instances(truth, pred)
    assert (found.truth, found.pred, found.matched) == (300, 280, 280)
    assert found.f1 == pytest.approx(2 * 280 / 580)
    assert found.dsc_tp == pytest.approx(0.75)


def test_at_exactly_half_two_halves_compete_and_one_wins() -> None:
    truth = np.ones((1, 1, 4), np.uint8)
    pred = np.array([[[1, 1, 2, 2]]], np.uint8)
    found = match_instances(truth, pred)
    assert (found.matched, found.f1) == (1, pytest.approx(2 / 3))


def test_two_pairs_win_over_the_one_best_pair() -> None:
    truth, pred = np.zeros((2, 1, 1, 12), np.uint8)
    truth[..., :6], truth[..., 6:] = 1, 2
    pred[..., 2:9], pred[..., :2] = 1, 2  # 1 fits truth 1 at 4/9 and truth 2 at 3/10; 2 fits truth 1 at 2/6
    assert match_instances(truth, pred, threshold=0.3).matched == 2


def test_a_binary_prediction_is_split_by_faces_not_edges() -> None:
    pred = np.zeros((2, 3, 3), np.uint8)
    pred[0, 0, 0] = pred[0, 1, 1] = pred[1, 1, 1] = 7
    split = split_components(pred)
    assert len(np.unique(split)) == 3
    assert split[0, 1, 1] == split[1, 1, 1] != split[0, 0, 0]


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.uint8, (4, 5, 6), elements=st.integers(0, 1)))
def test_components_are_those_of_scipy(mask: np.ndarray) -> None:
    split = split_components(mask)
    other, n = ndimage.label(mask)
    pairs = set(zip(split.ravel().tolist(), other.ravel().tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    assert len(pairs - {(0, 0)}) == n


@pytest.mark.parametrize("value", [1, 7, 255])
def test_the_challenge_counts_components_in_uint8(value: int) -> None:
    pred = np.zeros((5, 60, 60), np.uint8)
    pred[::2, ::3, ::3] = value  # 1,200 components
    found = split_components(pred, "challenge")
    assert found.dtype == np.uint8
    assert len(np.unique(found)) == 256
    assert (found[pred > 0] == 0).any()  # some are background then
    assert len(np.unique(split_components(pred))) == 1201
    np.testing.assert_array_equal(found[:1], official_components(pred[:1]))


def rows_of_boxes(count: int, larger: int = 0) -> np.ndarray:
    """``count`` boxes, numbered in the order of components; the first ``larger`` are half as large again."""
    labels = np.zeros((3, 81, 120), np.uint16)
    for i in range(count):
        y, x = divmod(i, 40)
        labels[: 3 if i < larger else 2, 3 * y : 3 * y + 2, 3 * x : 3 * x + 2] = i + 1
    return labels


@pytest.mark.parametrize(
    ("first", "last", "components", "larger", "official", "physical"),
    [
        (
            0,
            200,
            800,
            0,
            0.0,
            0.4,
        ),  # each number is shared by three components or more: no pair reaches one half
        (34, 262, 262, 6, 0.92, 0.93),  # one is background, six share the number of a larger one
    ],
)
def test_components_that_share_a_number_cost_the_challenges_score(
    first: int, last: int, components: int, larger: int, official: float, physical: float
) -> None:
    found = rows_of_boxes(components, larger)
    truth = np.where((found > first) & (found <= last), found - first, 0).astype(np.uint8)
    mask = (found > 0).astype(np.uint8)
    parts = split_components(mask, "challenge")
    score = match_instances(truth, parts, convention="challenge").f1
    assert score == pytest.approx(official_f1(truth, mask))
    assert round(score, 2) == official
    assert round(match_instances(truth, split_components(mask)).f1, 2) == physical


@settings(max_examples=60, deadline=None)
@given(
    truth=hnp.arrays(np.uint8, (2, 3, 4), elements=st.integers(0, 3)),
    pred=hnp.arrays(np.uint8, (2, 3, 4), elements=st.integers(0, 2)),
)
def test_the_challenges_f1_is_the_official_steps(truth: np.ndarray, pred: np.ndarray) -> None:
    for a, b in (
        (truth, pred),
        (truth, np.minimum(pred, 1)),
        (truth * 0, pred),
        (truth, pred * 0),
        (truth + 1, pred + 1),
    ):
        found = match_instances(a, split_components(b, "challenge"), convention="challenge")
        assert found.f1 == pytest.approx(official_f1(a, b))


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.uint8, (2, 4, 5), elements=st.integers(1, 2)))
def test_the_challenge_splits_two_ids_without_background(pred: np.ndarray) -> None:
    if len(np.unique(pred)) == 2:
        np.testing.assert_array_equal(split_components(pred, "challenge"), official_components(pred))
        assert split_components(pred) is pred


def test_nothing_on_either_side_is_zero_in_the_challenge() -> None:
    empty = np.zeros((2, 3, 3), np.uint8)
    found = match_instances(empty, empty, convention="challenge")
    assert (found.f1, found.dsc_tp) == (0.0, 0.0)


def test_several_ids_are_instances_already() -> None:
    pred = spheres(3)
    assert split_components(pred) is pred


def test_empty_sides() -> None:
    empty, some = np.zeros((20, 60, 60), np.uint16), spheres(5)
    assert match_instances(some, empty).f1 == 0.0
    assert match_instances(empty, some).f1 == 0.0
    assert match_instances(some, some) == match_instances(some, some * 3)
