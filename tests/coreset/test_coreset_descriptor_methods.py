"""Facility location, k-center and herding against slow and obvious versions of themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_cases import made_pool

from fve_pipeline.coreset import select
from fve_pipeline.coreset.facility import facility_location
from fve_pipeline.coreset.herding import herd
from fve_pipeline.coreset.kcenter import k_center

POINTS = st.tuples(st.integers(2, 40), st.integers(1, 6), st.integers(0, 10_000))


def _points(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def _cost(points: np.ndarray, chosen: list[int]) -> float:
    return float(np.linalg.norm(points[:, None] - points[None, chosen], axis=2).min(1).sum())


@settings(max_examples=40, deadline=None)
@given(POINTS, st.floats(0.05, 1))
def test_facility_location_is_the_greedy_choice_at_every_step(
    size: tuple[int, int, int], share: float
) -> None:
    points = _points(*size).astype(np.float64)
    picks, exact = facility_location(points.astype(np.float32), max(1, int(share * len(points))), seed=0)
    assert exact
    assert len(set(picks)) == len(picks)
    chosen: list[int] = []
    for pick in picks:
        costs = [_cost(points, [*chosen, j]) for j in range(len(points)) if j not in chosen]
        assert _cost(points, [*chosen, pick]) <= min(costs) + 1e-3
        chosen.append(pick)


def test_facility_location_agrees_with_scikit_learns_distances() -> None:
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    points = _points(300, 16, 1)
    distance = pairwise.euclidean_distances(points.astype(np.float64))
    nearest = np.full(300, distance.max())
    expected = []
    for _ in range(30):
        gains = np.maximum(nearest[:, None] - distance, 0).sum(0)
        gains[expected] = -1
        expected.append(int(gains.argmax()))
        nearest = np.minimum(nearest, distance[:, expected[-1]])
    assert facility_location(points, 30, seed=0)[0] == expected


def test_the_approximation_remembers_what_it_chose() -> None:
    """Of well-parted clusters it takes one case each, and of all cases each once."""
    centres = np.arange(8, dtype=np.float32)[:, None] * 100
    points = np.repeat(centres, 50, axis=0) + _points(400, 1, 0) * 0.1
    picks, exact = facility_location(points.astype(np.float32), 8, seed=0, limit=64)
    assert not exact
    assert sorted(pick // 50 for pick in picks) == list(range(8))
    every, _ = facility_location(_points(80, 3, 1), 80, seed=0, limit=64)
    assert sorted(every) == list(range(80))


def test_above_the_limit_it_approximates_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    points = _points(600, 8, 2)
    exact, was_exact = facility_location(points, 60, seed=0)
    near, was_near = facility_location(points, 60, seed=0, limit=500)
    assert (was_exact, was_near) == (True, False)
    assert len(set(near)) == 60
    chance = np.mean(
        [_cost(points, np.random.default_rng(s).choice(600, 60, False).tolist()) for s in range(5)]
    )
    assert _cost(points, exact) <= _cost(points, near) * 1.001
    assert _cost(points, near) < chance
    monkeypatch.setattr(
        "fve_pipeline.coreset.facility.facility_location", lambda _, k, **__: (list(range(k)), False)
    )
    notes = select(made_pool({"CT_a": [[1]] * 9}), method="facility", cases=2).notes
    assert notes[-1].startswith("facility location of CT_a (CT) is approximate: it has 9 cases, exact up to")


@settings(max_examples=40, deadline=None)
@given(POINTS, st.floats(0.05, 1))
def test_k_center_takes_the_farthest_case(size: tuple[int, int, int], share: float) -> None:
    points = _points(*size)
    picks = k_center(points, max(1, int(share * len(points))))
    assert picks[0] == 0
    for step in range(1, len(picks)):
        left = [j for j in range(len(points)) if j not in picks[:step]]
        distance = np.linalg.norm(points[:, None] - points[None, picks[:step]], axis=2).min(1)
        assert distance[picks[step]] >= distance[left].max() - 1e-3
        assert picks[step] in left


@settings(max_examples=40, deadline=None)
@given(POINTS, st.floats(0.05, 1))
def test_herding_brings_the_mean_nearest_at_every_step(size: tuple[int, int, int], share: float) -> None:
    points = _points(*size).astype(np.float64)
    picks = herd(points.astype(np.float32), max(1, int(share * len(points))))
    mean = points.mean(0)

    def gap(rows: list[int]) -> float:
        return float(((points[rows].mean(0) - mean) ** 2).sum())

    for step, pick in enumerate(picks):
        chosen = picks[:step]
        left = [j for j in range(len(points)) if j not in chosen]
        assert pick in left
        assert gap([*chosen, pick]) <= min(gap([*chosen, j]) for j in left) + 1e-4


def test_descriptor_methods_fill_each_dataset() -> None:
    pool = made_pool({"CT_a": [[1, 2]] * 40, "MR_b": [[1]] * 10})
    for method in ("facility", "kcenter", "herding"):
        chosen = select(pool, method=method, cases=12)
        counts = [sum(case.startswith(name) for case in chosen.case_ids) for name in ("CT_a", "MR_b")]
        assert min(counts) >= 4  # temper 0.5: 40 and 10 share 12 as 8 and 4; the floor of 5 lifts the second
        assert sum(counts) == 12
