"""fve encode: the second half of a build, and repairs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from fve_pipeline.cli.options import (
    Boundary,
    Codec,
    Downsample,
    Json,
    Memory,
    Order,
    Overwrite,
    Preset,
    Resize,
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
    encoded_settings,
    memory_of,
    prepared_settings,
    roots_of,
)
from fve_pipeline.cli.progress import console
from fve_pipeline.cli.running import finish, print_json, running

__all__ = ["encode"]


# What a store that is made from another, or repaired, has from that one.
_SLICES = ("preset", "size", "views", "training_views", "resize", "storage", "seed", "val", "test")
_ENCODING = ("order", "boundary", "downsample", "codec", "shard_size")


def encode(
    ctx: typer.Context,
    out: Annotated[str | None, typer.Option(help="The store to build, such as slices.zarr.")] = None,
    work: Work = None,
    preset: Preset = "paper",
    order: Order = None,
    size: Size = None,
    views: Views = None,
    training_views: TrainingViews = True,
    boundary: Boundary = None,
    downsample: Downsample = None,
    resize: Resize = None,
    storage: Storage = "encoded",
    codec: Codec = None,
    shard_size: ShardSize = "64MB",
    seed: Seed = 0,
    val: Val = 0.1,
    test: Test = 0.0,
    overwrite: Overwrite = False,
    lazy: Annotated[
        str | None,
        typer.Option("--from", help="Encode the slices of this store (built with --storage slices)."),
    ] = None,
    repair: Annotated[
        str | None, typer.Option(help="Make what is damaged in this store again, and only that.")
    ] = None,
    roots: Annotated[
        list[str] | None,
        typer.Option("--root", help="With --repair: where the sources are (NAME=DIR, repeatable)."),
    ] = None,
    workers: Workers = None,
    memory: Memory = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Encode prepared cases into a store: the second half of `fve build`. Or repair a damaged store.

    [bold]Examples[/bold]

      fve encode --work amos.work --out amos_k2.zarr --order 2

      fve encode --from amos_lazy.zarr --out amos_k3.zarr --order 3

      fve encode --repair amos.zarr --root /data/amos22
    """
    from fve_pipeline.build.pipeline import default_work, encode_prepared, require_settings
    from fve_pipeline.runtime.resources import Resources

    started = time.monotonic()
    if repair is not None:
        _refuse(ctx, "--repair", (*_SLICES, *_ENCODING, "overwrite", "out", "lazy"))
        _repair(repair, work, roots or [], workers, memory, scheduler, as_json)
        return
    if out is None or (work is None) == (lazy is None):
        raise typer.BadParameter(
            "give --work DIR or --from STORE, and --out STORE; or --repair STORE", param_hint="--out"
        )
    if lazy is not None:
        _refuse(ctx, "--from", (*_SLICES, "overwrite", "roots"))
        changes = {"order": order, "boundary": boundary, "downsample": downsample, "codec": codec}
        _from_lazy(lazy, out, changes, shard_size, (workers, memory_of(memory), scheduler), as_json)
        return
    given = {
        "order": order,
        "size": size,
        "views_rule": views,
        "training_views": training_views,
        "boundary": boundary,
        "downsample": downsample,
        "resize": resize,
        "storage": storage,
        "codec": codec,
        "seed": seed,
        "val_fraction": val,
        "test_fraction": test,
    }
    folder = (work or default_work(out)).absolute()
    settings = prepared_settings(preset, given, folder, shard_size)
    if not overwrite:
        require_settings(out, settings)
    with running(workers, memory_of(memory), scheduler, as_json) as (executor, bars):
        summary = encode_prepared(folder, settings, out, Resources(executor, bars), overwrite=overwrite)
    finish(summary, started, as_json)


def _refuse(ctx: typer.Context, mode: str, names: tuple[str, ...]) -> None:
    """BadParameter for options that the mode has no use for: passed over, they would seem to have worked."""
    sources = {name: ctx.get_parameter_source(name) for name in names}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if not given:
        return
    options = {param.name: param.opts[-1] for param in ctx.command.params}
    msg = (
        f"{', '.join(str(options[name]) for name in given)}: not with {mode}, which keeps the slices, the split and the "
        "place of the store it is given. Build from the sources, or with --work, to change them"
    )
    raise typer.BadParameter(msg)


def _from_lazy(
    name: str,
    out: str,
    changes: dict[str, Any],
    shard_size: str,
    how: tuple[int | None, int | None, str | None],
    as_json: bool,
) -> None:
    from fve_pipeline.build.convert import convert_store
    from fve_pipeline.runtime.resources import Resources
    from fve_pipeline.store.reader import open_store

    source = open_store(name)
    settings = encoded_settings(source.settings, changes, shard_size)
    with running(*how, as_json) as (executor, bars):
        manifest = convert_store(source, out, settings, Resources(executor, bars))
    if as_json:
        print_json({"store": out, "samples": manifest.n_samples, "content_id": manifest.content_id})
    else:
        console.print(f"{out}: {manifest.n_samples:,} samples encoded at order {settings.order}.")


def _repair(
    name: str,
    work: Path | None,
    roots: list[str],
    workers: int | None,
    memory: str | None,
    scheduler: str | None,
    as_json: bool,
) -> None:
    from fve_pipeline.build.pipeline import default_work
    from fve_pipeline.build.repair import repair_store
    from fve_pipeline.errors import StoreFormatError
    from fve_pipeline.runtime.resources import Resources
    from fve_pipeline.store.reader import open_store

    try:
        sources = open_store(name).manifest.sources
    except StoreFormatError as error:  # a damaged store all the same, of which nothing can be mended
        if as_json:
            print_json({"store": name, "repaired": [], "mended": [], "left": [str(error)]})
        else:
            console.print(f"still wrong: {error}", style="red", markup=False)
        raise typer.Exit(1) from error
    folders = roots_of(roots, [source.dataset for source in sources])
    folder = (work or default_work(name)).absolute()
    with running(workers, memory_of(memory), scheduler, as_json) as (executor, bars):
        done = repair_store(name, folders, folder, Resources(executor, bars))
    if as_json:
        left = [f"{finding.file}: {finding.problem}" for finding in done.left]
        print_json({"store": name, "repaired": done.repaired, "mended": done.mended, "left": left})
    else:
        console.print(f"{name}: repaired shards: {', '.join(map(str, done.repaired)) or 'none'}")
        if done.mended:
            console.print(f"{name}: made again {', '.join(done.mended)}.", markup=False)
        for finding in done.left:
            console.print(f"still wrong: {finding.file}: {finding.problem}", style="red", markup=False)
    raise typer.Exit(1 if done.left else 0)
