"""``fve ablate``: a plan of settings and seeds -> many runs of ``fve train``, and one table."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.table import Table

from fve_pipeline.cli.options import Json
from fve_pipeline.cli.progress import Bars, console, errors
from fve_pipeline.cli.running import print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fve_pipeline.ablation.plan import Trial
    from fve_pipeline.ablation.queue import TrialJob
    from fve_pipeline.ablation.table import Row

__all__ = ["ablate"]


def ablate(
    plan: Annotated[Path, typer.Argument(help="TOML: stores, seeds, [base], [[variants]], [grid].")],
    out: Annotated[Path, typer.Option(help="Folder of all runs, and of the table.")],
    slots: Annotated[int, typer.Option(min=1, help="Runs at a time on this machine.")] = 1,
    only: Annotated[
        int | None,
        typer.Option(min=0, help="Run this one of the plan alone, counted from 0: a job of an array."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and what is done.")] = False,
    as_json: Json = False,
) -> None:
    """Train with every setting of a plan and every seed, and say what the settings do.

    Each run is a [bold]fve train[/] in a folder of its own. What is done is not done again, and a run that was stopped goes
    on from its checkpoint: run the same command again after Ctrl-C or a kill. On a cluster each job of an array takes one
    run by its number, and the command without [bold]--only[/] then makes the table. Variants are compared with the
    first one, paired by seed, by Wilcoxon's test with Holm's correction.

    Exit code 0: all runs are done; 1: some failed, the others are in the table; 75: a single run was stopped by its queue.

    [b]Examples[/]

    fve ablate plan.toml --out runs/ablation --dry-run

    fve ablate plan.toml --out runs/ablation --slots 2

    sbatch --array 0-14 --requeue --wrap 'fve ablate plan.toml --out runs/ablation --only $SLURM_ARRAY_TASK_ID'
    """
    from fve_pipeline.ablation.plan import load_plan, trials_of
    from fve_pipeline.ablation.runs import job_of

    read = load_plan(plan)
    runs = trials_of(read)
    jobs = [job_of(read, run, out) for run in runs]
    if dry_run:
        _list(jobs, as_json)
        return
    if only is not None:
        if only >= len(jobs):
            msg = f"{only}: the plan has {len(jobs)} runs, 0 to {len(jobs) - 1}"
            raise typer.BadParameter(msg, param_hint="--only")
        _one(jobs[only], runs[only])
    failed = _all(jobs, runs, slots, as_json)
    rows = _save(jobs, runs, out)
    if as_json:
        print_json({"runs": len(jobs), "failed": failed, "table": [row.as_dict() for row in rows]})
    else:
        _print(rows)
        typer.echo(f"table: {out / 'table.md'}, numbers: {out / 'table.json'}")
    raise typer.Exit(1 if failed else 0)


def _one(job: TrialJob, run: Trial) -> NoReturn:
    """A single run in this job's own time: what stops it is passed on, and its exit code is ours."""
    from fve_pipeline.ablation.queue import run_once
    from fve_pipeline.ablation.runs import write_config

    write_config(job, run)
    raise typer.Exit(0 if job.result.exists() else run_once(job))


def _all(jobs: Sequence[TrialJob], runs: Sequence[Trial], slots: int, quiet: bool) -> dict[str, str]:
    from fve_pipeline.ablation.queue import run_jobs
    from fve_pipeline.ablation.runs import write_config

    for job, run in zip(jobs, runs, strict=True):
        write_config(job, run)
    try:
        with Bars(quiet) as bars, _terminated_as_interrupted():
            bars.stage("training", len(jobs), "runs")
            bars.advance(sum(job.result.exists() for job in jobs))

            def ended(job: TrialJob, reason: str | None) -> None:
                bars.advance()
                if reason is not None:
                    bars.note(f"{job.name}: {reason}")

            return run_jobs(jobs, slots, ended)
    except KeyboardInterrupt:
        errors.print(
            "\nInterrupted; runs keep their checkpoints. Run the same command again to go on.", style="yellow"
        )
        raise typer.Exit(130) from None


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end the runs as Ctrl-C does, instead of leaving them behind."""

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (a handler's signature)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _list(jobs: Sequence[TrialJob], as_json: bool) -> None:
    if as_json:
        print_json(
            [{"run": job.name, "folder": str(job.folder), "done": job.result.exists()} for job in jobs]
        )
        return
    table = Table("", "run", "folder", "done")
    for number, job in enumerate(jobs):
        table.add_row(str(number), job.name, str(job.folder), "yes" if job.result.exists() else "")
    console.print(table)


def _save(jobs: Sequence[TrialJob], runs: Sequence[Trial], out: Path) -> list[Row]:
    import json

    from fve_pipeline.ablation.table import table_of
    from fve_pipeline.files.atomic import write_whole

    done = {
        run.folder: job.result.read_text() for job, run in zip(jobs, runs, strict=True) if job.result.exists()
    }
    rows = table_of(runs, done)
    lines = [" | ".join(cells) for cells in (_HEADS, ["---"] * len(_HEADS), *map(_cells, rows))]
    texts = {
        "table.json": json.dumps([row.as_dict() for row in rows], indent=1) + "\n",
        "table.md": "".join(f"| {line} |\n" for line in lines),
    }
    for name, text in texts.items():
        with write_whole(out / name) as file:
            file.write(text.encode())
    return rows


_HEADS = (
    "score",
    "variant",
    "mean",
    "95 % interval",
    "seeds",
    "against the first",
    "95 % interval",
    "p (Holm)",
)


def _cells(row: Row) -> tuple[str, ...]:
    mean, pair = row.mean, row.against
    return (
        *(row.score, row.variant, f"{mean.mean:.4f}", _span(mean.low, mean.high, ".4f"), str(mean.n)),
        "" if pair is None else f"{pair.difference:+.4f}",
        "" if pair is None else _span(pair.low, pair.high, "+.4f"),
        "" if row.p_holm != row.p_holm else f"{row.p_holm:.4f}",
    )


def _span(low: float, high: float, form: str) -> str:
    return "" if low != low else f"{low:{form}} to {high:{form}}"


def _print(rows: Sequence[Row]) -> None:
    table = Table(*_HEADS)
    for row in rows:
        table.add_row(*_cells(row))
    console.print(table)
