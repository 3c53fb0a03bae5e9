"""``fve train``: stores in, a fine-tuned segmenter out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fve_pipeline.cli.completion import one_of
from fve_pipeline.cli.completion import stores as stores_named
from fve_pipeline.cli.progress import console, errors
from fve_pipeline.cli.running import show_next

if TYPE_CHECKING:
    from rich.table import Table

    from fve_pipeline.training.config import TrainConfig
    from fve_pipeline.training.estimate import Estimate

__all__ = ["train"]

# EX_TEMPFAIL of sysexits.h: nothing is wrong, start it again.
_REQUEUE = 75


def _write_config(file: Path | None) -> None:
    """Write the commented configuration, and end."""
    if file is None:
        return
    from fve_pipeline.training.config_text import config_text

    if file.exists():
        raise typer.BadParameter(f"{file} is there already; name another file", param_hint="--init-config")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(config_text())
    console.print(
        f"wrote {file}: change what you like, then fve train STORE --out RUN --config {file}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    raise typer.Exit


def train(
    stores: Annotated[
        list[str],
        typer.Argument(help="Stores to train on: their split 'train'.", autocompletion=stores_named),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run: checkpoints, log, pictures.")],
    config: Annotated[
        Path | None, typer.Option(help="TOML file; without one, the finetune protocol.")
    ] = None,
    val: Annotated[
        list[str] | None, typer.Option(help="Stores to validate on: their split 'val'. Default: STORES.")
    ] = None,
    no_validation: Annotated[bool, typer.Option("--no-validation", help="Train without validating.")] = False,
    coreset: Annotated[
        Path | None, typer.Option(help="Selection of fve coreset: train on its cases alone.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Over what the file says.", **one_of("finetune", "paper"))
    ] = None,
    adapt: Annotated[
        str | None, typer.Option(help="Adapt the model to volumes.", **one_of("bio2vol"))
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint in --out.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Report parameters, memory and steps only.")
    ] = False,
    tflops: Annotated[
        str | None,
        typer.Option(
            help="With --dry-run: TFLOP/s that a process reaches, or [b]measure[/], by one image here; gives hours."
        ),
    ] = None,
    init_config: Annotated[  # noqa: ARG001 (its callback ends the program)
        Path | None,
        typer.Option(
            help="Write every setting with its default and what it is for to this TOML file, and end.",
            callback=_write_config,
            is_eager=True,
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Train the segmenter on one store or several.

    Two protocols: [bold]finetune[/bold] (batch 8, 10 epochs, clip 5; the default) and [bold]paper[/bold]
    (batch 320, 80 epochs). What a TOML file says comes over them; docs/training.md lists every key.
    [bold]--adapt bio2vol[/bold] trains on sub-volumes by that paper's settings; docs/bio2vol.md has its switches.
    For several GPUs or nodes run it under torchrun: the curve does not depend on how many there are.
    Exit code 130: stopped by Ctrl-C; 75: stopped by SIGTERM, SIGUSR1 or the configuration's
    [bold]stop_after[/bold], start it again.

    [bold]Examples[/bold]

      fve train --init-config train.toml

      fve train slices.zarr --out runs/liver --config train.toml

      fve train slices.zarr --out runs/liver --config train.toml --dry-run --tflops 120

      fve train slices.zarr --out runs/liver --config train.toml --resume

      fve train slices.zarr --out runs/volumes --config train.toml --adapt bio2vol

      torchrun --nproc-per-node 4 --no-python fve train a.zarr b.zarr --out runs/both --protocol paper
    """
    import json
    import os
    from dataclasses import asdict

    from fve_pipeline.catalog.lexicon import wordings
    from fve_pipeline.coreset.selection import load_selection
    from fve_pipeline.look.run.picture import ProgressPicture
    from fve_pipeline.store.reader import open_store
    from fve_pipeline.training.config import load_config
    from fve_pipeline.training.estimate import estimate
    from fve_pipeline.training.store import StoreTraining, StoreValidation
    from fve_pipeline.training.sub_volumes import SubVolumeTraining
    from fve_pipeline.training.trainer import train as run

    settings = load_config(config, adapt, **({"protocol": protocol} if protocol else {}))
    order = settings.data.order
    chosen = load_selection(coreset).case_ids if coreset else ()
    opened = [open_store(s) for s in stores]
    words = wordings if settings.data.wordings == "lexicon" else None
    if settings.bio2vol is None:
        data = StoreTraining(opened, settings.data, settings.run.seed, chosen, words)
    else:
        data = SubVolumeTraining(opened, settings.data, settings.bio2vol, settings.run.seed, chosen)
    first = int(os.environ.get("RANK", "0")) == 0
    if dry_run:
        if not first:
            return  # torchrun starts every process; one of them says it
        size = data.settings["size"]
        world = int(os.environ.get("WORLD_SIZE", "1"))
        found = estimate(settings, len(data), size, world)
        rate = _rate(tflops, settings, size, world)
        hours = None if rate is None else found.steps * found.flops / rate / 3600
        if as_json:
            typer.echo(json.dumps({**asdict(found), "memory": found.memory, "device_hours": hours}))
        else:
            _show(found, rate, hours)
        return
    held_out = None
    if not no_validation:
        held_out = StoreValidation([open_store(s) for s in val or stores], order=order)
    if resume and not list((out / "checkpoints").glob("step-*.pt")):
        errors.print(f"{out}: no checkpoint to resume from; the run starts at step 0", markup=False)
    result = run(settings, data, held_out, out, resume=resume, trackers=[ProgressPicture(out)])
    if result.stopped:
        errors.print(
            f"Stopped after step {result.steps}, {result.checkpoint}. Run the same command with --resume to go on.",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(130 if result.stopped == "interrupted" else _REQUEUE)
    if not first:
        return
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "steps": result.steps,
                    "loss": result.loss,
                    "scores": result.scores,
                    "checkpoint": str(result.checkpoint),
                }
            )
        )
    else:
        console.print(f"{result.steps} steps, loss {result.loss:.4f}, checkpoint {result.checkpoint}")
        if result.scores:
            console.print(_scores(result.scores))
        show_next(
            {
                "look at": f"{out / 'progress.png'}, fve report --run {out}",
                "predict": f"fve predict VOLUMES --weights {out} --catalog CATALOG --out predictions",
                "score": "fve evaluate predictions TRUTHS --out scores.parquet",
            }
        )


def _scores(scores: Mapping[str, Mapping[str, Any]]) -> Table:
    """The last validation: Dice of whole cases, and whether a class was found in the slices that hold it."""
    from rich.table import Table

    table = Table(
        "class",
        "Dice",
        "Dice, every slice asked",
        "presence: precision",
        "recall",
        "subjects",
        title="Validation",
    )
    for name, row in scores.items():
        shown = (row[key] for key in ("dice", "dice_raw", "precision", "recall"))
        table.add_row(name, *("–" if v is None else f"{v:.3f}" for v in shown), str(row["subjects"]))
    return table


def _rate(tflops: str | None, settings: TrainConfig, size: int, world: int) -> float | None:
    """Operations a second of one process: as named, or measured here."""
    if tflops is None:
        return None
    if tflops == "measure":
        import torch

        from fve_pipeline.training.estimate import measured_rate

        cuda = torch.cuda.is_available() and settings.run.device != "cpu"
        return measured_rate(settings, size, world, "cuda" if cuda else "cpu")
    try:
        rate = float(tflops) * 1e12
    except ValueError:
        rate = 0
    if not rate > 0:
        raise typer.BadParameter(f"{tflops!r}; expected a number above 0, or measure", param_hint="--tflops")
    return rate


def _show(found: Estimate, rate: float | None, hours: float | None) -> None:
    from rich.table import Table

    table = Table(title="What the run would take", show_header=False, title_justify="left")
    for part, (every, trained) in found.parts.items():
        note = "" if trained == every else " (frozen)"
        table.add_row(f"parameters, {part}", f"{every:,}{note}")
    table.add_row("parameters, all", f"{sum(every for every, _ in found.parts.values()):,}")
    table.add_row("trained", f"{sum(trained for _, trained in found.parts.values()):,}")
    for name in ("weights", "gradients", "optimiser", "activations", "memory"):
        label = "memory a process, about" if name == "memory" else f"  {name}"
        table.add_row(label, f"{getattr(found, name) / 2**30:.2f} GiB")
    table.add_row("  checkpoint", f"{(found.weights + found.optimiser) / 2**30:.2f} GiB on disk")
    table.add_row("training samples", f"{found.samples:,}")
    table.add_row("steps", f"{found.steps:,} ({found.steps_per_epoch:,} an epoch)")
    table.add_row(
        "operations", f"{found.flops / 1e12:.3g} TFLOP a step, {found.flops * found.steps / 1e15:.3g} PFLOP"
    )
    if rate is not None and hours is not None:
        table.add_row("device hours", f"{hours:.3g} at {rate / 1e12:.3g} TFLOP/s, all processes together")
    console.print(table)
