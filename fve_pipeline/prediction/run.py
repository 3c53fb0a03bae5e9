"""Predicting many volumes: one is read and one written beside the network; what is done stays, what fails is named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from fve_pipeline.errors import FveError
from fve_pipeline.files.atomic import sweep_partials
from fve_pipeline.prediction.outputs import write_runtimes
from fve_pipeline.prediction.predictor import Opened, Predictor, Segmented
from fve_pipeline.prediction.request import Request
from fve_pipeline.prediction.sources import VolumeSource
from fve_pipeline.runtime.faults import is_environment_fault
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.runtime.threads import prefetch

__all__ = ["Failed", "predict_all"]

P = ParamSpec("P")
T = TypeVar("T")

# With more volumes than this, one bar counts volumes; with fewer, each has a bar of its slices.
_BARS = 8

Report = dict[str, Any]


@dataclass(frozen=True)
class Failed:
    """A volume without result, and why."""

    case: str
    reason: str


def predict_all(
    predictor: Predictor,
    sources: Sequence[VolumeSource],
    request: Request,
    out: Path,
    progress: Progress,
    batch: int | None = None,
) -> tuple[list[Report], list[Failed]]:
    """Predict every source, and return their reports and what failed.

    While the network works on a volume the next one is read and the last one written: two volumes and two label maps
    are in memory. ``runtimes.csv`` gets a line for each report below ``out``, those of earlier calls and of others
    that share the folder included. What is the machine's fault (no disk, no memory) is raised, all else is reported
    and the rest done.
    """
    out.mkdir(parents=True, exist_ok=True)
    _sweep(sources, out)
    reports: list[Report] = []
    failures: list[Failed] = []
    many = len(sources) > _BARS
    own: Progress = _NotesOnly(progress) if many else progress
    if many:
        progress.stage("predicting", len(sources), "volumes")

    def read(source: VolumeSource) -> Opened | Report | Exception:
        return _tried(predictor.open, source, request, out)

    def write(step: Segmented | Report | Exception) -> Report | Exception:
        return _tried(predictor.write, step, out, own) if isinstance(step, Segmented) else step

    def settle(source: VolumeSource, writing: Future[Report | Exception]) -> None:
        found = writing.result()
        if isinstance(found, Exception):
            failures.append(Failed(source.name, str(found)))
            progress.note(f"{source.name}: {found}")
        else:
            reports.append(found)
        if many:
            progress.advance()

    try:
        with (
            ThreadPoolExecutor(1, thread_name_prefix="fve-write") as writer,
            closing(prefetch(read, sources, threads=1, ahead=1)) as opened,
        ):
            last: tuple[VolumeSource, Future[Report | Exception]] | None = None
            for number, source in enumerate(sources, start=1):
                step: Opened | Segmented | Report | Exception = next(opened)
                if isinstance(step, dict):
                    progress.note(f"{source.name}: done before")
                if isinstance(step, Opened):
                    place = f" ({number} of {len(sources)})" if len(sources) > 1 else ""
                    step = _tried(predictor.segment, step, request, own, batch, place)
                if last is not None:
                    settle(*last)
                last = source, writer.submit(write, step)
                del step  # nothing of this volume is kept while the next ones come
            if last is not None:
                settle(*last)
    finally:
        write_runtimes(out)
    return reports, failures


def _tried(step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Exception:
    """Return what a step returns, or the error that is its volume's own; the machine's fault is raised."""
    try:
        return step(*args, **kwargs)
    except (FveError, OSError) as error:
        if is_environment_fault(error):
            raise
        return error


def _sweep(sources: Sequence[VolumeSource], out: Path) -> None:
    """Remove what a killed run left of these volumes; others may be writing theirs."""
    names: dict[Path, set[str]] = defaultdict(set)
    for source in sources:
        path = out / source.name
        names[path.parent] |= {f"{path.name}{source.ending}", f"{path.name}.json"}
    for folder, own in names.items():
        sweep_partials(folder, own)


class _NotesOnly:
    """Passes on what is noted, and keeps the slices of one volume among many to itself."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def stage(self, name: str, total: int, unit: str) -> None:
        pass

    def advance(self, count: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        self._progress.note(text)
