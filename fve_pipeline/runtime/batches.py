"""Short tasks travel together: how many, by the seconds that they are predicted to take."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Task", "TaskBatch", "batches", "run_batch"]

# A scheduler hands out some 200 batches a second. Half of that keeps it idle half of the time.
_HANDED_OUT = 100.0
# No batch is made longer than this without need: a lost worker costs its batch.
_SECONDS = 0.5
# Of all that was handed out so far, what a batch may be of one worker's share: they grow as the work shows itself to
# be long, and workers that run out at its end wait for a fraction of what they did.
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


def batches(tasks: Iterable[Task], workers: int) -> Iterator[TaskBatch]:
    """Put tasks together, in their order: a function of the tasks and the number of workers, never of timing.

    A batch takes half a second, or with more than 50 workers as long as lets one scheduler feed them all; and never more
    than a quarter of what each worker has been given on average so far, so that few tasks are spread over all workers. Tasks
    are taken from the iterable as batches are asked for.
    """
    most = max(_SECONDS, workers / _HANDED_OUT)
    given = seconds = 0.0
    held: list[Task] = []
    for task in tasks:
        limit = min(most, given / (_SHARE * workers))
        if held and (seconds + task.seconds > limit or len(held) == _LONGEST):
            yield TaskBatch(tuple(held))
            held, seconds = [], 0.0
        held.append(task)
        seconds += task.seconds
        given += task.seconds if math.isfinite(task.seconds) else 0.0
    if held:
        yield TaskBatch(tuple(held))


def run_batch(function: Callable[..., Any], calls: list[tuple[Any, ...]]) -> list[Any]:
    """Call ``function`` with each of ``calls``; return the results before the first that raises.

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
    return results
