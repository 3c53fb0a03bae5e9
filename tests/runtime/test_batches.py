"""Short tasks in batches: how many, in which order, and what a bad one costs."""

from __future__ import annotations

import os
import pickle
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fve_pipeline.errors import BuildError
from fve_pipeline.runtime.batches import Task, TaskBatch, batches, run_batch
from fve_pipeline.runtime.executor import Executor, cluster


def tasks(count: int, seconds: float) -> list[Task]:
    return [Task(f"t{i}", (i,), i, seconds) for i in range(count)]


def lengths(count: int, seconds: float, workers: int) -> list[int]:
    return [len(batch.tasks) for batch in batches(tasks(count, seconds), workers, count)]


@given(st.lists(st.floats(0, 5) | st.just(float("inf"))), st.integers(1, 2000))
def test_every_task_travels_once_in_its_order(seconds: list[float], workers: int) -> None:
    given_tasks = [Task(f"t{i}", (i,), i, value) for i, value in enumerate(seconds)]
    made = list(batches(given_tasks, workers, len(seconds)))
    assert list(chain.from_iterable(batch.tasks for batch in made)) == given_tasks
    for batch in made:
        took = sum(task.seconds for task in batch.tasks)
        assert len(batch.tasks) == 1 or took <= max(0.5, workers / 100)
        assert batch.nbytes == max(task.nbytes for task in batch.tasks)


def test_long_tasks_and_those_of_unknown_length_travel_alone() -> None:
    assert set(lengths(500, 0.6, 2)) == {1}
    assert set(lengths(500, float("inf"), 2000)) == {1}


def test_few_tasks_are_spread_over_all_workers() -> None:
    assert lengths(10, 0.1, 2) == [1] * 10
    assert len(lengths(3000, 0.35, 1000)) >= 1000


def test_many_workers_are_fed_by_one_scheduler() -> None:
    """From the first batch on one lasts long enough that a thousand workers ask for no more than a hundred a second."""
    made = lengths(200_000, 0.35, 1000)
    assert made[0] * 0.35 == made[len(made) // 2] * 0.35 == pytest.approx(10, abs=0.5)


def test_batches_shrink_towards_the_end() -> None:
    made = lengths(20_000, 0.35, 1000)
    assert made[0] > 1
    assert made == sorted(made, reverse=True)
    assert set(made[-1000:]) == {1}


def test_tasks_past_those_that_were_counted_travel_alone() -> None:
    made = [len(batch.tasks) for batch in batches(tasks(30, 0.01), 1, 20)]
    assert made[0] > 1
    assert made[-10:] == [1] * 10


def test_tasks_are_taken_as_batches_are_asked_for() -> None:
    taken = 0

    def endless() -> object:
        nonlocal taken
        while True:
            taken += 1
            yield Task(f"t{taken}", (), 1, 0.001)

    made = batches(endless(), 4, 10_000)  # type: ignore[arg-type]
    first = sum(len(next(made).tasks) for _ in range(20))
    assert taken == first + 1


def inverse(value: int) -> float:
    return 1 / value


def test_results_before_an_exception_are_kept() -> None:
    assert pickle.loads(run_batch(inverse, [(1,), (2,), (0,), (4,)])) == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        run_batch(inverse, [(0,), (1,)])


def die_at(value: int, fatal: int) -> int:
    if value == fatal:
        os._exit(9)
    return value


def die_once(value: int, fatal: int, mark: str) -> int:
    if value == fatal and not Path(mark).exists():
        Path(mark).touch()
        os._exit(9)
    return value


def batched(count: int, *args: object) -> list[Task]:
    """Long tasks first, so that what follows travels in batches."""
    lead = [Task(f"lead {i}", (-1 - i, *args), 1, 1.0) for i in range(8)]
    return lead + [Task(f"case {i}", (i, *args), 1, 0.1) for i in range(count)]


def test_batches_are_made_of_these() -> None:
    assert [len(batch.tasks) for batch in batches(batched(9), 1, 17)] == [1] * 8 + [5, 4]


def test_an_exception_ends_the_run_and_costs_only_its_own_result(executor: Executor) -> None:
    found = []
    with pytest.raises(ZeroDivisionError):
        found.extend(task.name for task, _ in executor.run(inverse, [*batched(0), *batched(40)[8:]], 48))
    assert "case 0" not in found


def test_a_lost_worker_costs_its_batch_only(tmp_path: Path) -> None:
    with cluster(workers=1, memory=1 << 30) as alone:
        found = [r for _, r in alone.run(die_once, batched(9, 3, str(tmp_path / "died")), 17)]
    assert sorted(found) == list(range(-8, 9))


@pytest.mark.slow  # six workers die
def test_a_task_that_kills_its_workers_is_named_and_its_neighbours_are_kept() -> None:
    found = []
    with (
        cluster(workers=1, memory=1 << 30) as alone,
        pytest.raises(BuildError, match=r"case 3: .*fewer --workers"),
    ):
        found.extend(result for _, result in alone.run(die_at, batched(9, 3), 17))
    assert {0, 1, 2, 4} & set(found)


def test_singly_gives_back_what_is_left() -> None:
    batch = TaskBatch(tuple(tasks(3, 1.0)))
    assert [one.name for one in batch.singly(1)] == ["t1", "t2"]
    assert batch.name == "t0 and 2 more"
