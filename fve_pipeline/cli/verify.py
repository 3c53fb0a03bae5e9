"""fve verify: is a store what it says it is?"""

from __future__ import annotations

import dataclasses
import os
from typing import Annotated

import typer

from fve_pipeline.cli.completion import stores
from fve_pipeline.cli.options import Json, Memory, Scheduler, Workers, memory_of, roots_of
from fve_pipeline.cli.progress import Bars, console, errors
from fve_pipeline.cli.running import print_json, running

__all__ = ["verify"]


def verify(
    store: Annotated[str, typer.Argument(help="A store, such as slices.zarr.", autocompletion=stores)],
    deep: Annotated[
        bool, typer.Option("--deep", help="Decode every chunk; recount classes; recompute the content id.")
    ] = False,
    roots: Annotated[
        list[str] | None,
        typer.Option(
            "--root",
            help="With --deep: make random samples anew from the sources here (NAME=DIR, repeatable).",
        ),
    ] = None,
    samples: Annotated[int, typer.Option(help="How many samples to make anew with --root.", min=1)] = 16,
    seed: Annotated[int, typer.Option(help="Which samples.")] = 0,
    workers: Workers = None,
    memory: Memory = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Check a store: structure against the schema, every shard's checksum, the index against the arrays.

    Exit code 0: nothing wrong; 1: damage found (each file and shard named); 2: not a store.

    [bold]Examples[/bold]

      fve verify slices.zarr

      fve verify slices.zarr --deep --root /data/amos22
    """
    from fve_pipeline.store.reader import open_store
    from fve_pipeline.store.verify import verify as check

    if roots and not deep:
        raise typer.BadParameter("goes with --deep", param_hint="--root")
    opened = open_store(store)
    with Bars(as_json) as bars:
        bars.stage("verify", len(opened.manifest.shards), "shards")
        findings = check(opened, deep=deep, threads=os.cpu_count() or 1, progress=lambda *_: bars.advance())
    problems = [dataclasses.asdict(finding) for finding in findings]
    if roots and not findings:
        from fve_pipeline.build.recheck import check_against_sources
        from fve_pipeline.runtime.resources import Resources

        with running(workers, memory_of(memory), scheduler, as_json) as (executor, bars):
            folders = roots_of(roots, [source.dataset for source in opened.manifest.sources])
            mismatches = check_against_sources(
                opened, folders, Resources(executor, bars), samples=samples, seed=seed
            )
        problems += [
            {"file": f"row {found.row} ({found.case})", "problem": found.problem, "shard": None}
            for found in mismatches
        ]
    if as_json:
        print_json({"store": store, "samples": len(opened), "deep": deep, "problems": problems})
    elif problems:
        for problem in problems:
            where = "" if problem["shard"] is None else f" (shard {problem['shard']})"
            errors.print(
                f"{problem['file']}{where}: {problem['problem']}", style="red", markup=False, highlight=False
            )
        if findings:
            errors.print(f"Damaged files can be made again: fve encode --repair {store} --root DIR")
    else:
        depth = "every pixel" if deep else "structure and checksums"
        console.print(f"{store}: {len(opened):,} samples, {depth} verified, nothing wrong.")
    raise typer.Exit(1 if problems else 0)
