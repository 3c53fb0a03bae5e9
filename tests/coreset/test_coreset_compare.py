from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_cases import made_pool, uneven
from scipy.spatial.distance import cdist

from fve_pipeline.coreset import Comparison, compare
from fve_pipeline.coreset.compare import METRICS, Metric, measure, nearest_distance
from fve_pipeline.coreset.descriptors import describe, standardise
from fve_pipeline.coreset.plot import plot_comparison


def _comparison(mine: list[float], base: list[float], sign: int = 1) -> Comparison:
    values = np.array([base, mine], float)[:, :, None]
    return Comparison(("random", "x"), (0, 1, 2), (Metric("m", sign, "m"),), values, {}, 10, 2, {})


@pytest.mark.parametrize(
    ("mine", "base", "sign", "verdict"),
    [
        ([4, 5, 6], [1, 2, 3], 1, "better"),
        ([4, 5, 6], [1, 2, 3], -1, "worse"),
        ([1, 1, 2], [3, 4, 5], -1, "better"),
        ([3, 5, 6], [1, 2, 3], 1, "overlaps"),
        ([9, 9, 2], [1, 2, 3], 1, "overlaps"),
        ([2, 2, 2], [2, 2, 2], 1, "same"),
        ([2, 2, 2], [1, 2, 3], 1, "overlaps"),
    ],
)
def test_never_better_where_the_spread_overlaps(
    mine: list[float], base: list[float], sign: int, verdict: str
) -> None:
    assert _comparison(mine, base, sign).verdict("x", "m") == verdict


def test_measures_by_hand() -> None:
    pool = made_pool({"CT_a": [[1], [1], [2], [1]], "MR_b": [[1], [1], [], []]})
    common = standardise(describe(pool.table))
    numbers = measure(pool.table, np.array([0, 1, 2, 4]), common)
    assert list(numbers) == [metric.name for metric in METRICS]
    assert numbers["classes_1"] == 3
    assert numbers["classes_5"] == 0
    assert numbers["worst_class"] == 1
    assert numbers["dataset_largest"] == 0.75
    np.testing.assert_allclose(numbers["dataset_entropy"], -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)))
    left = [3, 5, 6, 7]
    expected = [min(np.linalg.norm(common[i] - common[j]) for j in (0, 1, 2, 4)) for i in left]
    np.testing.assert_allclose(numbers["distance_mean"], np.mean(expected), rtol=1e-5)
    np.testing.assert_allclose(numbers["distance_max"], np.max(expected), rtol=1e-5)


def test_the_whole_pool_leaves_nothing_out() -> None:
    pool = made_pool({"CT_a": [[1]] * 4})
    numbers = measure(pool.table, np.arange(4), standardise(describe(pool.table)))
    assert numbers["distance_max"] == numbers["distance_mean"] == 0
    assert numbers["dataset_entropy"] == numbers["modality_entropy"] == 1


def test_nearest_distance_in_blocks_is_the_plain_one() -> None:
    rng = np.random.default_rng(0)
    points, chosen = rng.standard_normal((2500, 5)), rng.standard_normal((4000, 5))
    plain = cdist(points, chosen).min(1)
    np.testing.assert_allclose(nearest_distance(points, chosen), plain, rtol=1e-9)


def test_methods_beside_random(tmp_path: Path) -> None:
    pool = made_pool(uneven())
    seen: list[str] = []
    result = compare(pool, ["stratified", "random", "multicover"], cases=40, progress=seen.append)
    assert result.methods == ("random", "stratified", "multicover")
    assert seen == ["random"] * 3 + ["stratified"] * 3 + ["multicover"] * 3
    assert result.verdict("stratified", "dataset_entropy") == "better"
    assert result.of("multicover", "short_of_5").tolist() == [0, 0, 0]
    written = result.as_dict()
    assert written["methods"]["random"]["classes_5"]["against_random"] is None
    assert len(written["methods"]["stratified"]["distance_mean"]["values"]) == 3
    pytest.importorskip("matplotlib")
    plot_comparison(result, tmp_path / "a.png")
    plot_comparison(result, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_proxy_is_one_more_metric() -> None:
    scores = iter(np.linspace(0.1, 0.6, 6))
    result = compare(made_pool(uneven()), ["stratified"], cases=40, proxy=lambda _chosen, _seed: next(scores))
    np.testing.assert_allclose(result.of("stratified", "proxy_dice"), [0.4, 0.5, 0.6])
    assert result.verdict("stratified", "proxy_dice") == "better"
