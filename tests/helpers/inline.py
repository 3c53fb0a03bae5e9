"""An executor that runs tasks here and now, for tests of what surrounds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from fve_pipeline.runtime.executor import Executor, Task

__all__ = ["InlineExecutor"]

R = TypeVar("R")


class InlineExecutor(Executor):
    """Runs each task in this process when its result is asked for."""

    def __init__(self) -> None:
        self.memory = 1 << 30

    def run(
        self,
        function: Callable[..., R],
        tasks: Iterable[Task],
        count: int = 0,  # noqa: ARG002 (the executor's signature)
    ) -> Iterator[tuple[Task, R]]:
        for task in tasks:
            yield task, function(*task.args)
