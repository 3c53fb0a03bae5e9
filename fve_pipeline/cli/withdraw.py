"""fve withdraw: cases taken out of a store for good."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fve_pipeline.cli.completion import stores
from fve_pipeline.cli.options import HashSubjects, Json, Memory, Scheduler, Work, Workers, memory_of
from fve_pipeline.cli.progress import console
from fve_pipeline.cli.running import print_json, running

if TYPE_CHECKING:
    from fve_pipeline.build.withdraw import Withdrawal

__all__ = ["withdraw"]


def withdraw(
    store: Annotated[str, typer.Argument(help="The store, such as slices.zarr.", autocompletion=stores)],
    subject: Annotated[list[str] | None, typer.Option(help="A subject; repeatable.")] = None,
    case: Annotated[list[str] | None, typer.Option(help="A case, as dataset/name; repeatable.")] = None,
    dataset: Annotated[list[str] | None, typer.Option(help="A whole data set; repeatable.")] = None,
    listed: Annotated[
        Path | None, typer.Option("--list", help="A text file of subjects, one a line.", show_default=False)
    ] = None,
    purge: Annotated[
        bool,
        typer.Option("--purge", help="Remove older generations too, and search every byte that remains."),
    ] = False,
    checkpoints: Annotated[
        list[Path] | None,
        typer.Option(help="Folder in which to look for checkpoints that have seen a case; repeatable."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Where the report goes. Default: beside the store, NAME.withdrawal-GENERATION.txt."
        ),
    ] = None,
    work: Work = None,
    hash_subjects: HashSubjects = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Name the cases that would go; write nothing.")
    ] = False,
    workers: Workers = None,
    memory: Memory = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Take subjects, cases or data sets out of a store: pixels, tables, history, prepared arrays, selections, reports.

    Without --purge the generation before still holds them. With it that goes too, and a report tells what a search
    over every remaining byte found. Checkpoints are listed, not changed. Interrupted, run it again. Exit code 0: gone;
    1: the search found something; 2: nothing was changed.

    [bold]Examples[/bold]

      fve withdraw slices.zarr --subject P0042 --dry-run

      fve withdraw slices.zarr --subject P0042 --purge --checkpoints runs
    """
    from fve_pipeline.build.pipeline import default_work, require_store
    from fve_pipeline.build.withdraw import Asked, find_withdrawn
    from fve_pipeline.build.withdraw import withdraw as run_withdraw
    from fve_pipeline.build.withdraw_report import withdrawal_report
    from fve_pipeline.files.atomic import write_whole
    from fve_pipeline.runtime.resources import Resources

    subjects = {*(subject or ()), *(_lines(listed) if listed else ())}
    asked = Asked(frozenset(subjects), frozenset(case or ()), frozenset(dataset or ()), hash_subjects)
    folder = (work or default_work(store)).absolute()
    if dry_run:
        rows = find_withdrawn(store, asked)
        if as_json:
            print_json({"cases": [row["case"] for row in rows]})
        else:
            _line(
                f"{len(rows):,} cases would go: {', '.join(row['case'] for row in rows)}. Nothing was written."
            )
        return
    require_store(store)
    with running(workers, memory_of(memory), scheduler, as_json) as (executor, bars):
        done = run_withdraw(store, asked, folder, Resources(executor, bars), purge=purge)
    seen = _seen(done, checkpoints or [])
    text = withdrawal_report(Path(store).name, done, seen)
    place = report or _default_report(store, done.generation)
    place.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(place) as file:
        file.write(text.encode())
    if as_json:
        print_json(
            {
                "cases": len(done.cases),
                "rows": done.rows,
                "generation": done.generation,
                "pruned": list(done.pruned),
                "kept": list(done.kept),
                "searched": {"files": done.files, "bytes": done.nbytes},
                "found": None if done.hits is None else len(done.hits),
                "report": str(place),
                "checkpoints": seen,
            }
        )
    else:
        _line(text)
        _line(f"Written to {place}.")
    if done.hits:
        raise typer.Exit(1)


def _default_report(store: str, generation: int) -> Path:
    name = f"{Path(store).name}.withdrawal-{generation}.txt"
    return Path(name) if "://" in store else Path(store).absolute().with_name(name)


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise typer.BadParameter(msg, param_hint="--list") from error
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _seen(done: Withdrawal, folders: list[Path]) -> list[str]:
    """Lines on checkpoints that have seen one of the cases, or do not say what they were trained on."""
    if not folders:
        return []
    from fve_pipeline.segmenter.seen import checkpoints_that_saw

    cases = {row["case"] for row in done.cases}
    hashes = {row["source_sha256"] for row in done.cases}
    return [
        f"Checkpoint {one.file}: "
        + (f"trained on {one.cases} of the cases" if one.cases else "does not say what it was trained on")
        for one in checkpoints_that_saw(folders, cases, hashes)
    ]


def _line(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
