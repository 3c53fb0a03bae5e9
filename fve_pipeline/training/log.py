"""What a run tells: a progress bar on stderr, ``log.jsonl``, and its trackers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fve_pipeline.files.atomic import write_whole
from fve_pipeline.training.config import TrainConfig
from fve_pipeline.training.trackers import Tracker, open_trackers

__all__ = ["RunLog", "Stopwatch"]

T = TypeVar("T")

# Steps after which the length of a run is told: the first ones compile and warm.
_FEW_STEPS = 5
_LINE_SECONDS = 60.0


class Stopwatch:
    """Time spent waiting for data, against all time since the last reading."""

    def __init__(self) -> None:
        self.waited, self.since = 0.0, time.perf_counter()

    def waiting(self, items: Iterable[T]) -> Iterator[T]:
        """``items``, the time to get each one counted as waiting."""
        iterator = iter(items)
        while True:
            start = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.waited += time.perf_counter() - start
            yield item

    def read(self) -> tuple[float, float]:
        """(seconds, share of them waited) since the last reading."""
        now = time.perf_counter()
        seconds, waited = now - self.since, self.waited
        self.waited, self.since = 0.0, now
        return seconds, min(1.0, waited / seconds) if seconds else 0.0


class RunLog:
    """Writes in ``folder``; with ``on`` False (ranks other than the first) it says nothing.

    Lines of a run that is resumed at ``step`` and that lie after it are dropped, so that the log is that of
    a run that never stopped.
    """

    def __init__(
        self,
        folder: Path,
        steps: int,
        step: int,
        config: TrainConfig,
        trackers: Sequence[Tracker] = (),
        *,
        on: bool = True,
    ) -> None:
        self.folder, self.steps, self.step, self.config, self.on = folder, steps, step, config, on
        self.trackers = [*trackers]

    def __enter__(self) -> Self:
        if not self.on:
            return self
        self.folder.mkdir(parents=True, exist_ok=True)
        self.trackers += open_trackers(
            self.config.run.trackers, self.folder, self.config.model_dump(mode="json"), self.step
        )
        settings = json.dumps(self.config.model_dump(mode="json"), indent=1)
        with write_whole(self.folder / "settings.json") as file:
            file.write(settings.encode())
        path = self.folder / "log.jsonl"
        kept = [line for line in _lines(path) if json.loads(line)["step"] <= self.step] if self.step else []
        path.write_text("".join(f"{line}\n" for line in kept))
        self.file = path.open("a", buffering=1)
        columns = (
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self.console = Console(stderr=True)
        self.progress = Progress(*columns, TimeRemainingColumn(), console=self.console)
        self.begun = self.told = time.monotonic()
        self.progress.start()
        self.task = self.progress.add_task("", total=self.steps, completed=self.step, epoch=0, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.on:
            self.progress.stop()
            self.file.close()
            for tracker in self.trackers:
                tracker.close()

    def write(self, what: str, step: int, values: Mapping[str, Any]) -> None:
        """One line of ``log.jsonl``, and its numbers to the trackers under ``what``."""
        if not self.on:
            return
        self.file.write(json.dumps({"what": what, "step": step, **values}) + "\n")
        numbers = [*_numbers(what, values)]
        for tracker in self.trackers:
            tracker.numbers(numbers, step)

    def advance(self, step: int, epoch: int, note: str) -> None:
        """Move the bar; tell after a few steps how long the run will be, and without a terminal how it goes, each minute."""
        if not self.on:
            return
        self.progress.update(self.task, completed=step, epoch=epoch, note=note)
        now, done = time.monotonic(), step - self.step
        each = (now - self.begun) / done
        if done == min(_FEW_STEPS, self.steps - self.step):
            self.say(f"{each:.1f} s a step, about {each * (self.steps - step) / 3600:.1f} hours to go")
        elif not self.console.is_terminal and now - self.told >= _LINE_SECONDS:
            self.say(
                f"step {step} of {self.steps}, epoch {epoch}: {note}; {each * (self.steps - step) / 3600:.1f} hours to go"
            )

    def say(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        if self.on:
            self.told = time.monotonic()
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def image(self, name: str, step: int, picture: NDArray[np.uint8]) -> None:
        """Keep ``picture`` (H,W,3) RGB as a PNG, and give it to the trackers."""
        if not self.on:
            return
        import cv2

        folder = self.folder / "images"
        folder.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / f"step-{step:08d}-{name}.png"), picture[..., ::-1])
        for tracker in self.trackers:
            tracker.image(name, picture, step)


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """Numbers by their names; those of a class as ``validation/dice/DATASET/CLASS``, so that classes stand together."""
    if isinstance(value, int | float):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "classes":
                for of_class, scores in inner.items():
                    for score, number in scores.items():
                        yield from _numbers(f"{name}/{score}/{of_class}", number)
            else:
                yield from _numbers(f"{name}/{key}", inner)


def _lines(path: Path) -> list[str]:
    """Whole lines of the log; one cut by a kill is left out."""
    if not path.exists():
        return []
    return [line for line in path.read_text().split("\n")[:-1] if line]
