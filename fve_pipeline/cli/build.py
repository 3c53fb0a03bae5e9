"""fve build: catalogs and folders -> a verified store."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from fve_pipeline.cli.completion import one_of
from fve_pipeline.cli.hash_key import write_hash_key
from fve_pipeline.cli.options import (
    Boundary,
    Catalogs,
    Codec,
    Downsample,
    Errata,
    HashKey,
    HashSubjects,
    Json,
    Memory,
    Nonfinite,
    Only,
    Order,
    Overwrite,
    Percentiles,
    Preset,
    ResampleTilt,
    Resize,
    Roots,
    Scheduler,
    Seed,
    ShardSize,
    Size,
    Storage,
    Test,
    TrainingViews,
    Val,
    Views,
    Work,
    Workers,
    datasets_of,
    errata_of,
    memory_of,
    selected_cases,
    settings_of,
)
from fve_pipeline.cli.progress import Bars, console, errors
from fve_pipeline.cli.running import finish, print_json, running

if TYPE_CHECKING:
    from fve_pipeline.build.cases import Dataset
    from fve_pipeline.build.forecast import Forecast
    from fve_pipeline.store.schema import StoreSettings

__all__ = ["build"]


def build(
    catalogs: Catalogs,
    roots: Roots,
    out: Annotated[str, typer.Option(help="The store to build or to append to, such as slices.zarr.")],
    work: Work = None,
    preset: Preset = "paper",
    order: Order = None,
    size: Size = None,
    views: Views = None,
    training_views: TrainingViews = True,
    boundary: Boundary = None,
    downsample: Downsample = None,
    resize: Resize = None,
    percentiles: Percentiles = None,
    nonfinite: Nonfinite = None,
    resample_tilt: ResampleTilt = False,
    errata: Errata = None,
    hash_subjects: HashSubjects = None,
    hash_key: HashKey = None,
    storage: Storage = "encoded",
    codec: Codec = None,
    shard_size: ShardSize = "64MB",
    seed: Seed = 0,
    val: Val = 0.1,
    test: Test = 0.0,
    only: Only = None,
    overwrite: Overwrite = False,
    break_lock: Annotated[
        bool, typer.Option("--break-lock", help="Remote stores: take over the lock of a build that is gone.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be built, from headers alone.")
    ] = False,
    device: Annotated[
        str,
        typer.Option(
            help="Where slices are encoded; one GPU a worker.",
            rich_help_panel="How it runs",
            **one_of("cpu", "cuda", "auto"),
        ),
    ] = "cpu",
    workers: Workers = None,
    memory: Memory = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Build a store of encoded slices from medical volumes, or append new cases to it.

    Run it again after an interruption and it does what is missing. Exit code 0: all cases built; 1: some
    failed (named, with reasons, here and in the store's manifest; the store is whole without them);
    2: nothing built.

    [bold]Examples[/bold]

      fve build amos22_ct --root /data/amos22 --out amos.zarr

      fve build amos22_ct totalsegmentator_ct --root amos22_ct=/data/amos --root totalsegmentator_ct=/data/ts --out both.zarr

      fve build my.toml --root . --out my.zarr --order 2 --size 256 --dry-run
    """
    from fve_pipeline.build.cases import require_folders
    from fve_pipeline.build.prepare.veil import salt_mark

    started = time.monotonic()
    datasets = datasets_of(catalogs, roots)
    given = {
        "order": order,
        "size": size,
        "views_rule": views,
        "training_views": training_views,
        "boundary": boundary,
        "downsample": downsample,
        "resize": resize,
        "percentiles_over": percentiles,
        "nonfinite": nonfinite,
        "resample_tilt": resample_tilt,
        "subject_salt": salt_mark(hash_subjects),
        "storage": storage,
        "codec": codec,
        "seed": seed,
        "val_fraction": val,
        "test_fraction": test,
    }
    settings = settings_of(preset, given, datasets, shard_size)
    chosen = selected_cases(only)
    require_folders(datasets)
    if dry_run:
        _forecast(datasets, settings, chosen, as_json)
        return

    from fve_pipeline.build.pipeline import build as run_build
    from fve_pipeline.build.pipeline import default_work, require_settings
    from fve_pipeline.build.request import BuildRequest
    from fve_pipeline.runtime.device import choose_device, gpu_count
    from fve_pipeline.runtime.resources import Resources

    if break_lock:
        from fve_pipeline.files.locks import break_lock as take_over
        from fve_pipeline.files.open import open_files

        take_over(open_files(out))
    folder = (work or default_work(out)).absolute()
    if hash_key is not None:
        write_hash_key(datasets, hash_subjects, hash_key, (out, str(folder)))
    request = BuildRequest(
        datasets=datasets,
        work=folder,
        settings=settings,
        only=chosen,
        salt=hash_subjects,
        errata=errata_of(errata),
        out=out,
        overwrite=overwrite,
    )
    if not overwrite:
        require_settings(out, settings)
    chosen_device = choose_device(device)
    gpus = gpu_count() if chosen_device == "cuda" else 0
    with running(workers, memory_of(memory), scheduler, as_json, gpus) as (executor, bars):
        summary = run_build(request, Resources(executor, bars, chosen_device))
    finish(summary, started, as_json)


def _forecast(
    datasets: list[Dataset], settings: StoreSettings, only: frozenset[str] | None, as_json: bool
) -> None:
    from fve_pipeline.build.cases import expand_datasets, find_jobs
    from fve_pipeline.build.encode.plan import plan_settings
    from fve_pipeline.build.forecast import forecast
    from fve_pipeline.build.prepare.job import prepare_settings

    found = expand_datasets(datasets)
    jobs = find_jobs(found, Path(), prepare_settings(settings), only=only)
    with Bars(as_json) as bars:
        predicted = forecast(jobs, settings, plan_settings(settings), bars)
    if as_json:
        print_json(dataclasses.asdict(predicted))
    else:
        _print_forecast(predicted)
    if predicted.unreadable:
        raise typer.Exit(1 if predicted.cases else 2)


def _print_forecast(predicted: Forecast) -> None:
    from fve_pipeline.runtime.units import format_bytes

    table = Table(title="Dry run: nothing is written", show_header=False, title_justify="left")
    table.add_row("cases", f"{predicted.cases:,}")
    table.add_row("samples", f"{predicted.samples:,}")
    table.add_row("shards", f"{predicted.shards:,}")
    table.add_row("arrays, before compression", format_bytes(predicted.raw_bytes))
    table.add_row("prepared store, before compression", format_bytes(predicted.prepared_bytes))
    table.add_row("unreadable headers", f"{len(predicted.unreadable):,}")
    console.print(table)
    for failure in predicted.unreadable:
        errors.print(f"{failure.case}: {failure.reason}", style="red", markup=False, highlight=False)
