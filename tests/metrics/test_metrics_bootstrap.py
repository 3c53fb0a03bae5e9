"""Means and intervals over cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fve_pipeline.metrics import bootstrap_mean


def test_interval_is_that_of_the_normal_theory_for_many_values() -> None:
    values = np.random.default_rng(1).normal(0.7, 0.1, 400)
    got = bootstrap_mean(values.tolist(), seed=0)
    half = 1.96 * values.std() / np.sqrt(400)
    assert got.mean == pytest.approx(values.mean())
    assert got.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert got.high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_seeded_and_by_name() -> None:
    values = np.random.default_rng(2).random(30).tolist()
    assert bootstrap_mean(values, seed=1, name="a") == bootstrap_mean(values, seed=1, name="a")
    assert bootstrap_mean(values, seed=1, name="a") != bootstrap_mean(values, seed=2, name="a")
    assert bootstrap_mean(values, seed=1, name="a") != bootstrap_mean(values, seed=1, name="b")


def test_few_values() -> None:
    assert bootstrap_mean([float("nan")]).n == 0
    one = bootstrap_mean([0.25, float("nan")])
    assert (one.mean, one.n) == (0.25, 1)
    assert math.isnan(one.low)
    same = bootstrap_mean([0.5, 0.5, 0.5])
    assert (same.low, same.high) == (0.5, 0.5)
