"""Samplers: what an epoch holds, in which order, and that nothing but (seed, epoch) decides it."""

from __future__ import annotations

import itertools
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_maker import index, many, table

from fve_pipeline.errors import LoadingError
from fve_pipeline.loading.draw import draw_epoch, quotas
from fve_pipeline.loading.hashing import Stream, mix, uniform
from fve_pipeline.loading.order import LANES, arrange, shuffle_quality
from fve_pipeline.loading.sampler import Sampler, SamplerState, Ticket
from fve_pipeline.loading.samples import SampleIndex
from fve_pipeline.loading.strategies import (
    ClassBalanced,
    Combined,
    Groups,
    Positives,
    Stores,
    Strategy,
    Tempered,
    Views,
)


def everything(samples: SampleIndex) -> np.ndarray:
    return np.arange(len(samples))


def sampler(samples: SampleIndex, **options: Any) -> Sampler:
    return Sampler(samples, everything(samples), content="c", **options)


def drawn(samples: SampleIndex, strategy: Strategy, epochs: int = 1, **options: Any) -> np.ndarray:
    made = sampler(samples, strategy=strategy, **options)
    return np.concatenate([[Ticket.of(int(n)).sample for n in made.epoch(e)] for e in range(epochs)])


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(0, 9), st.integers(0, 9), st.integers(1, 300))
def test_an_order_is_a_permutation(n: int, seed: int, epoch: int, window: int) -> None:
    samples = np.arange(n)
    order = arrange(samples, samples // 7, seed, epoch, window)
    assert np.array_equal(np.sort(order), samples)


@settings(deadline=None)
@given(st.integers(1, 500), st.integers(0, 2**40), st.integers(0, 2**11))
def test_tickets_pack_and_unpack(sample: int, epoch: int, time: int) -> None:
    ticket = Ticket(sample, epoch % 2**14, time)
    assert Ticket.of(ticket.number) == ticket
    assert Ticket.of(sample) == Ticket(sample, 0, 0)


def test_every_sample_comes_once_an_epoch_in_another_order_each_time() -> None:
    samples = many({"a": 30, "b": 10})
    first, second = (sampler(samples).epoch(e) & (1 << 36) - 1 for e in (0, 1))
    assert np.array_equal(np.sort(first), everything(samples))
    assert np.array_equal(np.sort(second), everything(samples))
    assert (first == second).mean() < 0.02
    assert (sampler(samples, seed=1).epoch(0) == sampler(samples).epoch(0)).mean() < 0.02


@pytest.mark.parametrize("batch", [4, 8, 64, 128, 320])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_global_batches_are_the_same_for_any_number_of_ranks(batch: int, world: int) -> None:
    made = sampler(many({"a": 50, "b": 33}, slices=17))
    state = made.start(batch)
    alone = [sorted(part) for part in made.batches(state)]
    ranks = [list(made.batches(state, rank, world)) for rank in range(world)]
    assert all(len(part) == batch // world for parts in ranks for part in parts)
    assert [sorted(chain.from_iterable(parts)) for parts in zip(*ranks, strict=True)] == alone
    assert len(alone) == len(made) // batch


@pytest.mark.parametrize("batch", [8, 64, 320])
def test_ranks_own_lanes_so_a_slab_is_read_by_one(batch: int) -> None:
    made = sampler(many({"a": 100}, slices=64))
    order = made.epoch(0)
    lane = {int(number): place % LANES for place, number in enumerate(order)}
    owners: dict[int, set[int]] = {}
    for rank in range(4):
        for part in made.batches(made.start(batch), rank, 4):
            for number in part:
                owners.setdefault(lane[number], set()).add(rank)
    shared = sum(len(ranks) > 1 for ranks in owners.values())
    assert shared == 0


@pytest.mark.parametrize("batch", [96, 160])
def test_a_batch_that_begins_within_the_lanes_is_shared_by_lane(batch: int) -> None:
    made = sampler(many({"a": 100}, slices=64))
    lane = {int(number): place % LANES for place, number in enumerate(made.epoch(0))}
    ranks = [list(made.batches(made.start(batch), rank, 4)) for rank in range(4)]
    for parts in zip(*ranks, strict=True):
        lanes = [lane[number] for part in parts for number in part]
        assert lanes == sorted(lanes)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 60), st.sampled_from([1, 2, 4]), st.integers(0, 3))
def test_a_state_goes_on_exactly(steps: int, world: int, seed: int) -> None:
    samples = many({"a": 9, "b": 4})
    made = sampler(samples, seed=seed)
    state = made.start(8)
    every = [batch for e in range(3) for batch in made.batches(made.start(8, e))]
    state = SamplerState(**made.after(state, steps).to_dict())
    again = sampler(many({"a": 9, "b": 4}), seed=seed)
    left = [
        list(chain.from_iterable(parts))
        for parts in zip(*[again.batches(state, rank, world) for rank in range(world)], strict=True)
    ]
    per_epoch = len(made) // 8
    assert left == every[steps : (steps // per_epoch + 1) * per_epoch]


def test_a_state_of_other_samples_or_another_seed_is_refused() -> None:
    made = sampler(many({"a": 3}))
    with pytest.raises(LoadingError, match="content 'other'"):
        next(made.batches(SamplerState(0, 0, 0, 8, "other")))
    with pytest.raises(LoadingError, match="seed 5"):
        next(made.batches(SamplerState(5, 0, 0, 8, "c")))
    with pytest.raises(LoadingError, match="batch of 8 cannot be shared by 3"):
        next(made.batches(made.start(8), 0, 3))


def test_batches_mix_cases_nearly_as_a_true_permutation_does() -> None:
    samples = many({"a": 400}, slices=100)
    made = sampler(samples)
    order = made.epoch(0)
    for batch in (8, 64, 256):
        assert shuffle_quality(samples.case[order], batch) > 0.94
    shuffled = np.random.default_rng(0).permutation(samples.case)
    assert shuffle_quality(shuffled, 64) == pytest.approx(1, abs=0.01)
    assert shuffle_quality(samples.case, 64) < 0.05


def test_only_a_few_slabs_are_in_use_at_a_time() -> None:
    samples = many({"a": 2000}, slices=40)
    made = sampler(samples, slab=8, window=64)
    order = made.epoch(0)
    slabs = order // 8
    size = 64 * LANES  # one window of each lane
    for start in range(0, len(order) - size, size):
        assert len(np.unique(slabs[start : start + size])) <= 10 * LANES


def shares(samples: SampleIndex, order: np.ndarray, column: str) -> dict[str, float]:
    codes = getattr(samples, column)[order]
    return {name: float((codes == i).mean()) for i, name in enumerate(samples.names[column])}


@pytest.mark.parametrize(("alpha", "expected"), [(1.0, 0.9), (0.5, 0.75), (0.0, 0.5)])
def test_tempering(alpha: float, expected: float) -> None:
    samples = many({"a": 90, "b": 10})
    order = drawn(samples, Tempered(alpha))
    assert shares(samples, order, "dataset")["a"] == pytest.approx(expected, abs=0.001)


def test_positives_to_negatives() -> None:
    samples = many({"a": 40}, held={1: 0.2})
    order = drawn(samples, Positives(3.0))
    assert samples.holds_any[order].mean() == pytest.approx(0.75, abs=0.002)


def test_views_by_weight() -> None:
    samples = many({"a": 40}, views=("axial", "coronal", "sagittal"))
    order = drawn(samples, Views({"axial": 2, "sagittal": 1}))
    assert shares(samples, order, "view") == pytest.approx(
        {"axial": 2 / 3, "coronal": 0, "sagittal": 1 / 3}, abs=1e-3
    )


def test_stores_by_weight() -> None:
    samples = index(table({"a/1": 500}), table({"a/2": 100}))
    order = drawn(samples, Stores((1.0, 3.0)))
    assert samples.store[order].mean() == pytest.approx(0.75, abs=0.002)
    with pytest.raises(LoadingError, match="1 weights for 2 stores"):
        drawn(samples, Stores((1.0,)))


def test_divisions_combine() -> None:
    samples = many({"a": 90, "b": 10}, held={1: 0.1})
    order = drawn(samples, Combined((Tempered(0.0), Positives(1.0))))
    assert shares(samples, order, "dataset")["b"] == pytest.approx(0.5, abs=0.002)
    assert samples.holds_any[order].mean() == pytest.approx(0.5, abs=0.002)


def test_every_class_comes_as_often() -> None:
    samples = many({"a": 20, "b": 20}, held={1: 0.9, 2: 0.1, 3: 0.02})
    groups = ClassBalanced(negatives=0.2).groups(samples, everything(samples))
    assert len(groups.members) == 7
    assert groups.shares[:6] == pytest.approx(0.8 / 6)
    assert not samples.holds_any[groups.members[6]].any()
    order = drawn(samples, ClassBalanced(), epochs=2)
    rare = samples.holding(3, "b")
    assert np.isin(order, rare).mean() > 1 / 6 - 0.001
    counts = np.bincount(order, minlength=len(samples))[rare]
    assert counts.min() > 10


def test_only_chosen_samples_are_drawn() -> None:
    samples = many({"a": 5, "b": 5})
    chosen = samples.where(dataset=("b",))
    for strategy in (Tempered(), Positives(), ClassBalanced(0.1)):
        made = Sampler(samples, chosen, strategy, length=200)
        order = chosen[[Ticket.of(int(n)).sample for n in made.epoch(0)]]
        assert set(samples.dataset[order]) == {samples.names["dataset"].index("b")}


@pytest.mark.parametrize(
    ("batch", "rank", "world", "message"),
    [
        (0, 0, 1, "batch of 0"),
        (10**6, 0, 1, "batch of 1000000 from .* never be filled"),
        (4, 2, 2, "rank 2 of 2"),
    ],
)
def test_batches_that_cannot_be_are_refused(batch: int, rank: int, world: int, message: str) -> None:
    made = sampler(many({"a": 3}))
    with pytest.raises(LoadingError, match=message):
        next(made.batches(made.start(batch), rank, world))


def test_one_unfilled_batch_is_given_where_it_is_kept() -> None:
    made = sampler(many({"a": 3}))
    (only,) = made.batches(made.start(10**6), drop_last=False)
    assert len(only) == len(made)


@pytest.mark.parametrize(
    "strategy",
    [Positives(-1.0), Positives(float("nan")), Combined((ClassBalanced(),))],  # type: ignore[arg-type]
)
def test_shares_that_cannot_be_are_refused(strategy: Strategy) -> None:
    samples = many({"a": 3})
    with pytest.raises(LoadingError, match=r"weights are finite|cannot be combined"):
        strategy.groups(samples, everything(samples))


def test_nothing_to_draw_is_refused() -> None:
    samples = many({"a": 2}, held={})
    with pytest.raises(LoadingError, match="nothing to draw"):
        drawn(samples, ClassBalanced())
    with pytest.raises(LoadingError, match="'oblique'"):
        drawn(samples, Views({"oblique": 1}))


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(1, 200), st.integers(0, 5))
def test_quotas_add_up_and_are_fair_in_the_long_run(weights: list[int], length: int, seed: int) -> None:
    given_shares = np.array(weights) / sum(weights)
    counts = np.array([quotas(given_shares, length, seed, epoch) for epoch in range(300)])
    assert (counts.sum(axis=1) == length).all()
    assert np.abs(counts - given_shares * length).max() < 1 + 1e-9
    assert np.abs(counts.mean(axis=0) - given_shares * length).max() < 0.15


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 90), st.integers(1, 6))
def test_members_take_turns_over_epochs(size: int, length: int, epochs: int) -> None:
    groups = Groups((np.arange(size), 100 + np.arange(7)), np.array([0.5, 0.5]))
    taken = np.concatenate([draw_epoch(groups, length, 0, epoch) for epoch in range(epochs)])
    counts = np.bincount(taken[taken < 100], minlength=size)
    assert counts.max() - counts.min() <= 1


def test_each_round_of_a_group_has_an_order_of_its_own_by_seed() -> None:
    """Half a round an epoch: what comes first in a round is drawn anew for each round, group and seed."""
    groups = Groups((np.arange(400), np.arange(400)), np.array([0.5, 0.5]))
    halves = {}
    for seed in (0, 1):
        for cycle in (0, 1):
            taken = draw_epoch(groups, 400, seed, 2 * cycle)
            halves[seed, cycle, 0], halves[seed, cycle, 1] = (
                set(taken[:200].tolist()),
                set(taken[200:].tolist()),
            )
    for one, other in itertools.combinations(halves.values(), 2):
        assert 60 < len(one & other) < 140


def test_repeats_within_an_epoch_are_told_apart() -> None:
    samples = many({"a": 1}, slices=5)
    numbers = sampler(samples, length=23).epoch(0)
    assert len(np.unique(numbers)) == 23
    times = [Ticket.of(int(n)).time for n in numbers]
    assert max(times) == 4


def test_hashes_are_spread_and_streams_differ() -> None:
    values = uniform(Stream.SLAB, 0, np.arange(100_000))
    assert values.mean() == pytest.approx(0.5, abs=0.005)
    assert np.histogram(values, 10, (0, 1))[0].min() > 9600
    assert np.corrcoef(values[1:], values[:-1])[0, 1] == pytest.approx(0, abs=0.02)
    other = uniform(Stream.WINDOW, 0, np.arange(100_000))
    assert np.corrcoef(values, other)[0, 1] == pytest.approx(0, abs=0.02)
    assert mix(Stream.SLAB, 1, 2) != mix(Stream.SLAB, 2, 1)


def test_an_order_stays_what_it_was() -> None:
    """Frozen: a changed order would break every saved state."""
    order = arrange(np.arange(200), np.arange(200) // 8, 3, 5, 16)
    assert order[:12].tolist() == [51, 53, 33, 36, 184, 190, 10, 14, 176, 181, 183, 1]
    assert int(mix(Stream.SLAB, 1, 2, 3)) == 13346722404298299339
