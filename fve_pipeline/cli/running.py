"""A cluster with bars, Ctrl-C that says how to go on, and the summary at the end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from fve_pipeline.cli.progress import Bars, console, errors

if TYPE_CHECKING:
    from fve_pipeline.build.request import BuildSummary
    from fve_pipeline.runtime.executor import Executor

__all__ = ["finish", "print_json", "remembered_interrupt", "running", "show_next"]


@contextlib.contextmanager
def running(
    workers: int | None, memory: int | None, scheduler: str | None, quiet: bool, gpus: int = 0
) -> Iterator[tuple[Executor, Bars]]:
    """A cluster and progress bars. Ctrl-C ends both and exits with 130."""
    from fve_pipeline.runtime.executor import cluster

    try:
        with cluster(workers, memory, scheduler, gpus) as executor:
            if not quiet:
                board = executor.dashboard
                errors.print(
                    f"{executor.workers} workers{f', dashboard {board}' if board else ''}", style="dim"
                )
            with Bars(quiet) as bars, remembered_interrupt(bars):
                yield executor, bars
    except KeyboardInterrupt:
        errors.print(
            "\nInterrupted. Nothing is half-written: run the same command again to go on.", style="yellow"
        )
        raise typer.Exit(130) from None


@contextlib.contextmanager
def remembered_interrupt(bars: Bars) -> Iterator[None]:
    """Raise a Ctrl-C once more at the next step forward, should it have been lost.

    Python drops what is raised in a destructor or a callback, and a cluster's client has many of both.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (a handler's signature)
        bars.interrupted = True
        raise KeyboardInterrupt

    def unraisable(lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            hook(lost)

    before, hook = signal.signal(signal.SIGINT, note), sys.unraisablehook
    sys.unraisablehook = unraisable
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        sys.unraisablehook = hook


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(value, indent=1))


def show_next(steps: Mapping[str, str]) -> None:
    """Print the commands that one may want next, a line each under what they are for."""
    width = max(map(len, steps))
    text = "\n".join(f"  {name:<{width}}   {command}" for name, command in steps.items())
    console.print(f"\n{text}\n", highlight=False, markup=False, soft_wrap=True)


def finish(summary: BuildSummary, started: float, as_json: bool) -> None:
    """Print what was built and exit: 0 all built, 1 some cases failed."""
    seconds = time.monotonic() - started
    failures = [{"case": f.case, "stage": f.stage, "reason": f.reason} for f in summary.failures]
    if as_json:
        print_json(dataclasses.asdict(summary) | {"failures": failures, "seconds": round(seconds, 2)})
        raise typer.Exit(1 if failures else 0)
    table = Table(title=summary.out, show_header=False, title_justify="left")
    table.add_row("cases", f"{summary.cases:,} ({summary.new_cases:,} new)")
    table.add_row("samples", f"{summary.samples:,} ({summary.new_samples:,} new)")
    table.add_row("shards", f"{summary.shards:,}")
    table.add_row("failed", f"{len(failures):,}")
    table.add_row("content id", summary.content_id[:16])
    table.add_row("time", f"{seconds:.1f} s, {summary.new_samples / seconds:,.0f} slices/s")
    console.print(table)
    for failure in failures:
        errors.print(
            f"failed: {failure['case']}: {failure['reason']}", style="red", markup=False, highlight=False
        )
    if not summary.new_samples:
        console.print("Nothing was missing.")
    show_next(
        {
            "look at": f"fve figure sheet {summary.out}, fve view {summary.out}",
            "report": f"fve report {summary.out}",
            "train": f"fve train {summary.out} --out runs/first",
        }
    )
    raise typer.Exit(1 if failures else 0)
