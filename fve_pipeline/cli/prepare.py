"""fve prepare: the first half of a build."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from fve_pipeline.cli.hash_key import write_hash_key
from fve_pipeline.cli.options import (
    Catalogs,
    Errata,
    HashKey,
    HashSubjects,
    Json,
    Memory,
    Nonfinite,
    Only,
    Percentiles,
    Preset,
    ResampleTilt,
    Roots,
    Scheduler,
    Workers,
    datasets_of,
    errata_of,
    memory_of,
    selected_cases,
    settings_of,
)
from fve_pipeline.cli.progress import console, errors
from fve_pipeline.cli.running import print_json, running

__all__ = ["prepare"]


def prepare(
    catalogs: Catalogs,
    roots: Roots,
    work: Annotated[Path, typer.Option(help="Folder of the prepared store.")],
    preset: Preset = "paper",
    percentiles: Percentiles = None,
    nonfinite: Nonfinite = None,
    resample_tilt: ResampleTilt = False,
    errata: Errata = None,
    hash_subjects: HashSubjects = None,
    hash_key: HashKey = None,
    only: Only = None,
    workers: Workers = None,
    memory: Memory = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Read, check, orient and window every case: the first half of `fve build`.

    `fve encode --work DIR` makes stores of it, of any order, size and view, without the sources.

    [bold]Examples[/bold]

      fve prepare amos22_ct --root /data/amos22 --work amos.work
    """
    from fve_pipeline.build.cases import require_folders
    from fve_pipeline.build.pipeline import prepare as run_prepare
    from fve_pipeline.build.prepare.veil import salt_mark
    from fve_pipeline.build.request import PrepareRequest
    from fve_pipeline.runtime.resources import Resources

    started = time.monotonic()
    datasets = datasets_of(catalogs, roots)
    given = {
        "percentiles_over": percentiles,
        "nonfinite": nonfinite,
        "resample_tilt": resample_tilt,
        "subject_salt": salt_mark(hash_subjects),
    }
    if hash_key is not None:
        write_hash_key(datasets, hash_subjects, hash_key, (str(work),))
    request = PrepareRequest(
        datasets=datasets,
        work=work.absolute(),
        settings=settings_of(preset, given, datasets),
        only=selected_cases(only),
        salt=hash_subjects,
        errata=errata_of(errata),
    )
    require_folders(datasets)
    with running(workers, memory_of(memory), scheduler, as_json) as (executor, bars):
        done = run_prepare(request, Resources(executor, bars))
    failures = done.roster.failures
    if as_json:
        print_json(
            {
                "cases": len(done.roster.cases),
                "prepared_now": done.fresh,
                "failures": [failure.model_dump() for failure in failures],
                "seconds": round(time.monotonic() - started, 2),
            }
        )
    else:
        console.print(f"{len(done.roster.cases):,} cases prepared in {work} ({done.fresh:,} now).")
        for failure in failures:
            errors.print(f"failed: {failure.case}: {failure.reason}", style="red", markup=False)
    if failures:
        raise typer.Exit(1 if done.roster.cases else 2)
