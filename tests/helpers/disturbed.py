"""Work in a forked process that dies, or is refused by the system, at a chosen file operation."""

from __future__ import annotations

import builtins
import errno
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fve_pipeline.errors import FveError
from fve_pipeline.runtime.executor import Executor, Task

__all__ = ["DONE", "FAULTS", "KILLED", "REFUSED", "Disturbance", "Outcome", "SerialExecutor", "disturbed"]

FAULTS = ("ENOSPC", "EIO", "EMFILE", "EROFS")
DONE, REFUSED, KILLED = "done", "refused", "killed"
# What a process does to files, as the libraries call it. Each is an operation to die before or after.
_OPERATIONS = ("replace", "unlink", "remove", "rmdir", "mkdir", "fsync", "truncate", "ftruncate")


class SerialExecutor(Executor):
    """Runs tasks one after another, here: what is tested is the order of file operations, not Dask."""

    def __init__(self) -> None:
        self.memory = 1 << 40

    @property
    def workers(self) -> int:
        """One."""
        return 1

    def run(self, function: Callable[..., Any], tasks: Any, count: int = 0) -> Iterator[tuple[Task, Any]]:  # noqa: ARG002
        """Call the function for each task."""
        for task in tasks:
            yield task, function(*task.args)


@dataclass(frozen=True)
class Disturbance:
    """At the ``step``-th moment of a process: SIGKILL, or an errno by its name. A step beyond the last is none."""

    step: int
    fault: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How the process ended: ``done``, ``refused`` with one of our errors, or ``killed``; and what it said."""

    kind: str
    message: str


def disturbed(work: Callable[[], object], disturbance: Disturbance | None, note: Path) -> Outcome:
    """Do the work in a child process. Raises AssertionError when it ended in an error that is none of ours."""
    note.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        try:
            code = _child(work, disturbance, note)
        finally:
            os._exit(code if "code" in locals() else 70)
    _, status = os.waitpid(child, 0)
    message = note.read_text() if note.exists() else ""
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, f"died of signal {os.WTERMSIG(status)}: {message}"
        return Outcome(KILLED, "")
    kinds = {0: DONE, 2: REFUSED}
    assert os.WEXITSTATUS(status) in kinds, f"an error that is none of ours:\n{message}"
    return Outcome(kinds[os.WEXITSTATUS(status)], message)


def _child(work: Callable[[], object], disturbance: Disturbance | None, note: Path) -> int:
    _count_operations(disturbance)
    try:
        work()
    except FveError as error:
        _undisturbed(note, "\n".join([str(error), *getattr(error, "__notes__", ())]))
        return 2
    except BaseException:
        _undisturbed(note, traceback.format_exc())
        return 1
    return 0


_open = builtins.open


def _undisturbed(note: Path, text: str) -> None:
    with _open(note, "w") as file:
        file.write(text)


def _count_operations(disturbance: Disturbance | None) -> None:
    """Let this process, which has not long to live, count what it does to files, and meet its disturbance."""
    steps = 0
    real = {name: getattr(os, name) for name in _OPERATIONS}

    def moment(place: Any) -> None:
        nonlocal steps
        if disturbance is not None and disturbance.fault is None and steps == disturbance.step:
            os.kill(os.getpid(), signal.SIGKILL)
        if disturbance is not None and disturbance.fault is not None and steps == disturbance.step:
            steps += 1
            number = getattr(errno, disturbance.fault)
            # The system names the path of a call that was given one.
            named = (os.fspath(place),) if isinstance(place, str | os.PathLike) else ()
            raise OSError(number, os.strerror(number), *named)
        steps += 1

    def counted(name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            moment(args[0])
            # A kill loses nothing that was written; only a power cut would.
            result = None if name == "fsync" else real[name](*args, **options)
            if disturbance is not None and disturbance.fault is None:
                moment(args[0])
            return result

        return call

    for name in _OPERATIONS:
        setattr(os, name, counted(name))

    def opened(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        if set(mode) & set("wxa+"):
            moment(file)
        return _open(file, mode, *args, **options)

    builtins.open = opened  # type: ignore[assignment]
