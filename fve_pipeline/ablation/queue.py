"""Runs the commands of many runs, a few at a time; what is done stays done, and what was stopped goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from fve_pipeline.files.atomic import write_whole

__all__ = ["TrialJob", "run_jobs", "run_once"]

# Of fve train: a queue, or a limit of its own, stopped it; the same command goes on.
_REQUEUE = 75
_PASSED_ON = ("SIGINT", "SIGTERM", "SIGUSR1")
_PATIENCE = 600.0  # seconds for a run that is asked to stop to end its step


@dataclass(frozen=True)
class TrialJob:
    """A command in its ``folder``; it is done when ``result.json`` is there, which is what it printed."""

    name: str
    folder: Path
    command: tuple[str, ...]

    @property
    def result(self) -> Path:
        """What it printed, once it ended well."""
        return self.folder / "result.json"


def run_jobs(
    jobs: Sequence[TrialJob], slots: int, ended: Callable[[TrialJob, str | None], None]
) -> dict[str, str]:
    """Run what is not done, ``slots`` at a time, and return why some failed, by name.

    ``ended`` is told each job that ended, and why if it failed. What each says on the way is in ``output.txt`` of its
    folder. A job that exits with 75 is started again, once the others have had their turn.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, after the jobs that ran were asked to stop and have ended.
    """
    waiting = [job for job in jobs if not job.result.exists()]
    running: dict[subprocess.Popen[bytes], TrialJob] = {}
    failed: dict[str, str] = {}
    try:
        while waiting or running:
            while waiting and len(running) < slots:
                job = waiting.pop(0)
                running[_start(job, slots)] = job
            for process in [one for one in running if one.poll() is not None]:
                job = running.pop(process)
                if process.returncode == _REQUEUE:
                    waiting.append(job)
                    continue
                reason = _settle(job, process.returncode)
                if reason is not None:
                    failed[job.name] = reason
                ended(job, reason)
            time.sleep(0.05)
    finally:
        _stop(list(running))
    return failed


def run_once(job: TrialJob) -> int:
    """Run one job, pass on what would stop this process, and return its exit code."""
    process = _start(job, 1)

    def pass_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (a handler's signature)
        process.send_signal(number)

    numbers = [getattr(signal, name) for name in _PASSED_ON if hasattr(signal, name)]
    before = [signal.signal(number, pass_on) for number in numbers]
    try:
        code = process.wait()
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    if code == 0:
        _settle(job, code)
    return code


def _start(job: TrialJob, slots: int) -> subprocess.Popen[bytes]:
    job.folder.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, len(os.sched_getaffinity(0)) // slots)) if hasattr(os, "sched_getaffinity") else "1"
    with (job.folder / "printed.json").open("wb") as printed, (job.folder / "output.txt").open("ab") as said:
        return subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=said,
            env={"OMP_NUM_THREADS": threads, **os.environ},
            start_new_session=True,  # a Ctrl-C is passed on once, by us
        )


def _settle(job: TrialJob, code: int) -> str | None:
    """Keep what a job printed if it ended well; else return why not."""
    printed = job.folder / "printed.json"
    if code == 0:
        with write_whole(job.result) as file:
            file.write(printed.read_bytes())
        printed.unlink()
        return None
    lines = [
        line for line in (job.folder / "output.txt").read_text(errors="replace").splitlines() if line.strip()
    ]
    return (
        f"exit code {code}: {lines[-1].strip() if lines else 'it said nothing'} ({job.folder / 'output.txt'})"
    )


def _stop(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask what runs to end its step and write a checkpoint; end what does not in time."""
    for process in running:
        process.send_signal(signal.SIGTERM)
    limit = time.monotonic() + _PATIENCE
    for process in running:
        try:
            process.wait(max(0.0, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
