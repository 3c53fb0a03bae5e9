"""Paired comparisons against enumeration and against what is known of them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fve_pipeline.metrics.paired import compare_paired, holm


def exact_wilcoxon(differences: np.ndarray) -> float:
    """The two-sided p value by all 2^n signs; no zeros and no ties."""
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1
    observed = abs(ranks[differences > 0].sum() - ranks.sum() / 2)
    sums = [
        sum(rank for rank, up in zip(ranks, signs, strict=True) if up)
        for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    return float(np.mean([abs(one - ranks.sum() / 2) >= observed for one in sums]))


@pytest.mark.parametrize("seed", range(4))
def test_p_is_that_of_all_signs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.uniform(0, 1, 9)
    second = first + rng.normal(0.05, 0.1, 9)
    found = compare_paired(first, second)
    assert found.p == pytest.approx(exact_wilcoxon(second - first))
    assert found.difference == pytest.approx(second.mean() - first.mean())
    assert found.low < found.difference < found.high
    assert found.d_z == pytest.approx((second - first).mean() / (second - first).std(ddof=1))
    assert (found.better, found.worse) == ((second > first).sum(), (second < first).sum())


def test_the_interval_is_of_pairs_and_not_of_two_samples() -> None:
    # Cases differ widely, methods hardly: unpaired, 0.01 would drown.
    first = np.linspace(0, 1, 40)
    found = compare_paired(first, first + 0.01 + 0.001 * np.sin(np.arange(40)))
    assert 0.009 < found.low < found.high < 0.011
    assert found.p < 1e-6
    assert found.rank_biserial == 1


def test_the_other_way_round_all_signs_change() -> None:
    rng = np.random.default_rng(7)
    first, second = rng.uniform(0, 1, (2, 20))
    there, back = compare_paired(first, second), compare_paired(second, first)
    assert there.p == pytest.approx(back.p)
    assert there.rank_biserial == pytest.approx(-back.rank_biserial)
    assert (there.better, there.worse) == (back.worse, back.better)
    lower = compare_paired(first, second, lower_is_better=True)
    assert (lower.better, lower.worse) == (there.worse, there.better)
    assert lower.difference == there.difference


def test_few_equal_and_undefined_cases() -> None:
    nan = math.nan
    found = compare_paired([0.5, nan, 0.2, 0.3], [0.5, 0.1, nan, 0.3])
    assert (found.n, found.undefined, found.equal, found.p, found.rank_biserial) == (2, 2, 2, 1.0, 0.0)
    assert math.isnan(found.d_z)
    one = compare_paired([0.5], [0.6])
    assert one.n == 1
    assert math.isnan(one.low)
    nothing = compare_paired([nan], [0.1])
    assert (nothing.n, nothing.undefined) == (0, 1)
    assert math.isnan(nothing.p)


def test_the_seed_decides_the_interval() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.uniform(0, 1, (2, 15))
    intervals = {
        (found.low, found.high) for found in (compare_paired(first, second, seed=s) for s in (0, 0, 1))
    }
    assert len(intervals) == 2


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_rejects_what_its_steps_reject(values: list[float]) -> None:
    adjusted = holm(values)
    for level in (0.01, 0.05, 0.5):
        rejected, left = set(), len(values)
        for place in sorted(range(len(values)), key=lambda i: (values[i], i)):
            if values[place] * left > level:
                break
            rejected.add(place)
            left -= 1
        assert {place for place, p in enumerate(adjusted) if p <= level} == rejected


def test_holm_does_not_count_what_has_no_p() -> None:
    found = holm([0.01, math.nan, 0.2])
    assert found[0] == 0.02
    assert math.isnan(found[1])
