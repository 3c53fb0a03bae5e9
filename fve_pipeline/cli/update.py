"""fve update: a store brought up to its sources, at the cost of what changed."""

from __future__ import annotations

import dataclasses
import time
from typing import Annotated, Any

import typer

from fve_pipeline.cli.completion import stores
from fve_pipeline.cli.options import (
    Catalogs,
    Errata,
    HashSubjects,
    Json,
    Memory,
    Roots,
    Scheduler,
    Work,
    Workers,
    datasets_of,
    errata_of,
    memory_of,
)
from fve_pipeline.cli.progress import console, errors
from fve_pipeline.cli.running import print_json, running

__all__ = ["update"]

_SHOWN = 20  # cases of a reason that are printed


def update(
    store: Annotated[str, typer.Argument(help="The store, such as slices.zarr.", autocompletion=stores)],
    catalogs: Catalogs,
    roots: Roots,
    work: Work = None,
    errata: Errata = None,
    hash_subjects: HashSubjects = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what changed, and how many shards hold it; write nothing.")
    ] = False,
    workers: Workers = None,
    memory: Memory = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Bring a store up to its sources: changed labels and images, new, renamed and vanished cases.

    Only cases concerned are prepared, and only shards whose rows change are written. The store as it was stays open
    to whoever trains on it, as a generation of its own, until fve prune. A changed case that cannot be prepared stays
    as it was. Interrupted, run it again. Exit code 0: done, or nothing changed; 1: some cases failed, named with
    reasons; 2: nothing was changed.

    [bold]Examples[/bold]

      fve update amos.zarr amos22_ct --root /data/amos22 --dry-run

      fve update amos.zarr amos22_ct --root /data/amos22

      fve update amos.zarr amos22_ct --root /data/amos22 --errata amos.errata.toml

      fve diff amos.zarr@1 amos.zarr
    """
    from fve_pipeline.build.cases import require_folders
    from fve_pipeline.build.pipeline import default_work, require_store
    from fve_pipeline.build.update import update_store, what_changed
    from fve_pipeline.runtime.resources import Resources

    started = time.monotonic()
    datasets, corrections = datasets_of(catalogs, roots), errata_of(errata)
    folder = (work or default_work(store)).absolute()
    require_folders(datasets)
    require_store(store)
    with running(workers, memory_of(memory), scheduler, as_json) as (executor, bars):
        resources = Resources(executor, bars)
        if dry_run:
            changes, shards = what_changed(store, datasets, folder, resources, hash_subjects, corrections)
        else:
            done = update_store(store, datasets, folder, resources, hash_subjects, corrections)
    if dry_run:
        if as_json:
            print_json({"cases": changes.told(), "shards": shards})
            return
        _cases(changes.told())
        _line(f"{shards:,} shards hold rows of them. Nothing was written.")
        return
    if as_json:
        seconds = round(time.monotonic() - started, 2)
        print_json(dataclasses.asdict(done) | {"seconds": seconds})
    else:
        _cases(done.cases)
        _line(
            f"{store}, generation {done.generation}: {done.n_cases:,} cases, {done.n_samples:,} samples; "
            f"{done.written:,} of {done.shards:,} shards written."
        )
    for failure in done.failures:
        errors.print(f"failed: {failure.case}: {failure.reason}", style="red", markup=False, highlight=False)
    if done.failures:
        raise typer.Exit(1)


def _cases(told: dict[str, list[str]]) -> None:
    for reason, cases in told.items():
        more = f" and {len(cases) - _SHOWN:,} more (--json)" if len(cases) > _SHOWN else ""
        _line(f"{reason}, {len(cases):,}: {', '.join(cases[:_SHOWN])}{more}")
    if not told:
        _line("nothing changed")


def _line(text: Any) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
