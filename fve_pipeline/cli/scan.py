"""fve scan: what a folder of cases holds, without building anything."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from fve_pipeline.cli.options import (
    Catalogs,
    Json,
    Memory,
    Roots,
    Scheduler,
    Seed,
    Test,
    Val,
    Workers,
    datasets_of,
    memory_of,
)
from fve_pipeline.cli.progress import console, errors
from fve_pipeline.cli.running import print_json, running

__all__ = ["scan"]


def scan(
    catalogs: Catalogs,
    roots: Roots,
    out: Annotated[Path, typer.Option(help="Folder for the tables that are found.")],
    hashes: Annotated[
        bool, typer.Option("--hash", help="Read and hash the image files too, to find duplicates.")
    ] = False,
    seed: Seed = 0,
    val: Val = 0.1,
    test: Test = 0.0,
    workers: Workers = None,
    memory: Memory = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Read headers and label maps of every case, so that a coreset can be chosen before anything is built.

    Exit code 0: all cases read; 1: some failed, with reasons (a build would refuse them too); 2: none.

    [bold]Examples[/bold]

      fve scan amos22_ct --root /data/amos22 --out amos.scan

      fve coreset amos.scan --fraction 0.1 --out coreset.parquet

      fve build amos22_ct --root /data/amos22 --only coreset.parquet --out amos.zarr
    """
    from fve_pipeline.build.cases import require_folders
    from fve_pipeline.build.scan import scan_datasets, summary_dict

    started = time.monotonic()
    datasets = datasets_of(catalogs, roots)
    require_folders(datasets)
    with running(workers, memory_of(memory), scheduler, as_json) as (executor, bars):
        summary = scan_datasets(
            datasets,
            out,
            executor,
            bars,
            seed=seed,
            val_fraction=val,
            test_fraction=test,
            hashes=hashes,
        )
    if as_json:
        print_json(summary_dict(summary) | {"seconds": round(time.monotonic() - started, 2)})
    else:
        console.print(f"{summary.cases:,} cases scanned into {out}.")
        for failure in summary.failures:
            errors.print(f"failed: {failure.case}: {failure.reason}", style="red", markup=False)
    if summary.failures:
        raise typer.Exit(1)
