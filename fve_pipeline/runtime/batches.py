"""Short tasks travel together: how many, by the seconds that they are predicted to take."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Task", "TaskBatch", "batches", "run_batch"]

# A scheduler hands out some 200 batches a second. Half of that keeps it idle half of the time.
_HANDED_OUT = 100.0
# No batch is made longer than this without need: a lost worker costs its batch.
_SECONDS = 0.5
# A batch is at most this part of one worker's share of what is left, as long as the scheduler keeps up with that: they
# shrink towards the end, where workers that run out would wait for the longest.
_SHARE = 4
_LONGEST = 512  # tasks


@dataclass(frozen=True, slots=True)
class Task:
    """One call: ``name`` is unique within a run and is what messages show.

    ``nbytes`` is its predicted peak, and ``seconds`` what it is predicted to take; unless that is said, it travels alone.
    """

    name: str
    args: tuple[Any, ...]
    nbytes: int
    seconds: float = math.inf


@dataclass(frozen=True, slots=True)
class TaskBatch:
    """Tasks that one worker runs one after another."""

    tasks: tuple[Task, ...]

    @property
    def name(self) -> str:
        """The first task's, and how many there are."""
        more = f" and {len(self.tasks) - 1} more" if len(self.tasks) > 1 else ""
        return self.tasks[0].name + more

    @property
    def args(self) -> list[tuple[Any, ...]]:
        """Of each task."""
        return [task.args for task in self.tasks]

    @property
    def nbytes(self) -> int:
        """The predicted peak: of one task at a time."""
        return max(task.nbytes for task in self.tasks)

    def singly(self, start: int) -> list[TaskBatch]:
        """Return the tasks from ``start`` on, each alone."""
        return [TaskBatch((task,)) for task in self.tasks[start:]]


def batches(tasks: Iterable[Task], workers: int, count: int = 0) -> Iterator[TaskBatch]:
    """Put tasks together, in their order: a function of the tasks and the number of workers, never of timing.

    A batch takes half a second, or with more than 50 workers as long as lets one scheduler feed them all; and never more
    than each worker's share of what is left, so that few tasks are spread over all workers. What is left is
    told from ``count``, how many tasks there are, and the seconds of those so far; past it each travels alone. Tasks are
    taken from the iterable as batches are asked for.
    """
    keeps_up = workers / _HANDED_OUT
    most = max(_SECONDS, keeps_up)
    given = seconds = limit = 0.0
    held: list[Task] = []
    for before, task in enumerate(tasks):
        if held and (seconds + task.seconds > limit or len(held) == _LONGEST):
            yield TaskBatch(tuple(held))
            held, seconds = [], 0.0
        given += task.seconds if math.isfinite(task.seconds) else 0.0
        if not held:
            share = given / (before + 1) * (count - before) / workers
            limit = min(most, max(share / _SHARE, min(share, keeps_up)))
        held.append(task)
        seconds += task.seconds
    if held:
        yield TaskBatch(tuple(held))


def run_batch(function: Callable[..., Any], calls: list[tuple[Any, ...]]) -> bytes:
    """Call ``function`` with each of ``calls``; return the results before the first that raises, as a pickled list.

    Pickled, thousands of batches that wait for their turn take a tenth of the memory that their objects would.

    The first call's own exception goes on: it stands for what it was called with.
    """
    results: list[Any] = []
    for args in calls:
        try:
            results.append(function(*args))
        except Exception:
            if not results:
                raise
            break
    return pickle.dumps(results)
