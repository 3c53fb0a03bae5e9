"""``fve evaluate``: score label maps against the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from fve_pipeline.cli.completion import catalogs
from fve_pipeline.cli.options import Json, Memory, Scheduler, Workers, memory_of
from fve_pipeline.cli.progress import Bars, console
from fve_pipeline.cli.running import print_json, running, show_next

__all__ = ["evaluate"]

_SHOWN = 30  # rows of classes that are printed


class Convention(StrEnum):
    """The two conventions, as a choice on the command line."""

    challenge = "challenge"
    physical = "physical"


def evaluate(
    pred: Annotated[Path, typer.Argument(help="Predictions: a folder, or one file.")],
    truth: Annotated[Path, typer.Argument(help="Truths: a folder, or one file. Files match by name.")],
    out: Annotated[Path, typer.Option(help="Where the scores go (Parquet); means go beside it as JSON.")],
    instances: Annotated[
        bool, typer.Option("--instances", help="Labels are instances: F1 and Dice of true positives.")
    ] = False,
    images: Annotated[
        Path | None,
        typer.Option(
            help="The challenge's npz images, whose prompts and spacing count. [default: imgs beside gts, "
            "X_npz beside X_gt]"
        ),
    ] = None,
    convention: Annotated[
        Convention,
        typer.Option(
            "--convention",
            "--spacing",
            help="[b]challenge[/]: as the official evaluator, quirks and all. [b]physical[/]: right.",
        ),
    ] = Convention.physical,
    tolerance: Annotated[float, typer.Option(min=0.0, help="Tolerance of NSD, mm.")] = 2.0,
    runtimes: Annotated[
        Path | None,
        typer.Option(help="CSV with columns case, seconds[, classes]: over 60 s a class scores zero."),
    ] = None,
    cases: Annotated[
        Path | None,
        typer.Option(help="Parquet or CSV with columns case, dataset, modality (a store's cases.parquet)."),
    ] = None,
    catalog: Annotated[
        str | None,
        typer.Option(
            help="Catalog of the cases: their dataset, modality and names of classes, where --cases says none.",
            autocompletion=catalogs,
        ),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Ids to score, such as 1,2,5. [default: all that occur]")
    ] = None,
    pred_pattern: Annotated[
        str, typer.Option(help="Which part of a prediction's name is the case, such as {case}/image.")
    ] = "{case}",
    truth_pattern: Annotated[
        str, typer.Option(help="Which part of a truth's name is the case, such as {case}/labels.")
    ] = "{case}",
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle",
            help="Take classes and instance flag, case by case, from the pickled text_prompts of the images.",
        ),
    ] = False,
    overlaps: Annotated[
        bool,
        typer.Option(
            "--overlaps",
            help="Score classes that may overlap, by CASE_classes (a folder of a file a class, or a file of layers) "
            "where there is one.",
        ),
    ] = False,
    findings: Annotated[
        bool,
        typer.Option(
            "--findings",
            help="With --overlaps: classes are findings; also the hit rate, and precision, recall and F1 of instances.",
        ),
    ] = False,
    swap: Annotated[
        Path | None,
        typer.Option(
            help="Predictions of the same images for another sentence: their Dice is told beside the true one. A model "
            "that reads the sentence has less with it."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap intervals.")] = 0,
    workers: Workers = None,
    memory: Memory = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Score label maps: DSC, NSD, HD95, or F1 and Dice of instances.

    Scores are kept by case and class; means with 95 % bootstrap intervals are given by modality, dataset and
    class. NIfTI, NRRD, MHA and npz ([i]segs[/] against [i]gts[/]) are read. A case that cannot be scored is
    named, the others are scored, and the exit code is 1.

    [bold]Examples[/bold]

      fve evaluate predictions/ truths/ --out scores.parquet

      fve evaluate outputs/ 3D_val_gt/ --images 3D_val_npz/ --convention challenge --allow-pickle --out scores.parquet

      fve evaluate true/ truths/ --overlaps --findings --swap swapped/ --out scores.parquet

      fve evaluate outputs/ 3D_val_gt/ --runtimes outputs/runtimes.csv --out scores.parquet --json
    """
    from fve_pipeline import evaluation as ev
    from fve_pipeline.catalog import load_catalog
    from fve_pipeline.evaluation.swap import against_swapped

    if out.suffix.lower() == ".json":
        msg = f"{out}: scores are kept as Parquet, with their means as JSON beside it; give a name such as scores.parquet"
        raise typer.BadParameter(msg, param_hint="--out")
    if findings and not overlaps:
        raise typer.BadParameter(
            "findings have masks of their own: give --overlaps too", param_hint="--findings"
        )
    table = ev.read_case_table(cases) if cases is not None else None
    times = ev.read_runtimes(runtimes) if runtimes is not None else None
    if scheduler is not None:  # whose workers may run elsewhere
        pred, truth = pred.absolute(), truth.absolute()
        images = images.absolute() if images is not None else None
    match = partial(
        ev.match_folders,
        truth=truth,
        table=table,
        images=images,
        pred_pattern=pred_pattern,
        truth_pattern=truth_pattern,
        apart=overlaps,
    )
    pairs, missing = match(pred)
    described = None if catalog is None else load_catalog(catalog)
    if described is not None:
        dataset, modality = described.name, str(described.modality or "")
        pairs = [
            replace(pair, dataset=pair.dataset or dataset, modality=pair.modality or modality)
            for pair in pairs
        ]
    settings = ev.ScoreSettings(
        convention.value, instances, tolerance, allow_pickle, _ids(classes), overlaps, findings
    )
    score = partial(ev.evaluate, pairs, settings, runtimes=times, missing=missing, seed=seed)
    if scheduler is None and (workers == 1 or len(pairs) == 1):
        with Bars(as_json) as bars:
            result = score(progress=bars)
    else:
        with running(workers, memory_of(memory), scheduler, as_json) as (executor, bars):
            result = score(executor=executor, progress=bars)
    ev.save(result, out)
    read = None if swap is None else against_swapped(result, ev.evaluate(match(swap)[0], settings, seed=seed))
    if as_json:
        print_json(
            result.as_json() | ({} if read is None else {"swap": asdict(read) | {"ratio": read.ratio}})
        )
    else:
        _print(result.summary, {} if described is None else {c.id: c.name for c in described.classes})
        if (found := result.findings) is not None:
            typer.echo(
                f"{found.findings} findings: Dice {found.dice:.4f}, hit rate {found.hit_rate:.4f}; of instances precision "
                f"{found.precision:.4f}, recall {found.recall:.4f}, F1 {found.f1:.4f}"
            )
        if read is not None:
            times_more = "" if read.ratio is None else f", {read.ratio:.2f} times"
            typer.echo(
                f"Dice of {read.pairs} masks: {read.true:.4f} with the true sentence, {read.swapped:.4f} with "
                f"another{times_more}"
            )
        typer.echo(f"scores: {out}, means: {out.with_suffix('.json')}")
        show_next(
            {
                "look at": f"fve report STORE --scores {out} --pred {pred} --truth {truth}",
                "compare": f"fve compare {out} OTHER.parquet",
            }
        )
    for failure in result.failures:
        typer.echo(f"fve: {failure.case}: {failure.what}", err=True)
    scored = any(row["class_id"] is None for row in result.rows)
    raise typer.Exit(2 if not scored else 1 if result.failures else 0)


def _ids(classes: str | None) -> tuple[int, ...] | None:
    if classes is None:
        return None
    try:
        return tuple(int(text) for text in classes.split(","))
    except ValueError:
        raise typer.BadParameter(f"{classes!r}; expected ids such as 1,2,5", param_hint="--classes") from None


def _print(summary: Sequence[dict[str, Any]], names: Mapping[int, str]) -> None:
    table = Table("", "class", "score", "mean", "95 % interval", "cases", "undefined")
    classes = 0
    for row in summary:
        classes += row["class_id"] is not None
        if row["class_id"] is not None and classes > _SHOWN:
            continue
        low, high = row["low"], row["high"]
        table.add_row(
            f"{row['level']} {row['name']}".strip(),
            "" if row["class_id"] is None else f"{row['class_id']} {names.get(row['class_id'], '')}".strip(),
            row["metric"],
            f"{row['mean']:.4f}",
            f"{low:.4f} to {high:.4f}" if low == low else "",
            str(row["n"]),
            str(row["undefined"] or ""),
        )
    console.print(table)
    if classes > _SHOWN:
        console.print(
            f"{classes - _SHOWN:,} more rows of classes are in the file of means. If these ids are instances of "
            "one class, say --instances.",
            soft_wrap=True,
        )
