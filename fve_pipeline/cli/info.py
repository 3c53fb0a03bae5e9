"""fve info: what a store holds."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from fve_pipeline.cli.completion import stores
from fve_pipeline.cli.options import Json
from fve_pipeline.cli.progress import console
from fve_pipeline.cli.running import print_json

__all__ = ["info"]


def info(
    store: Annotated[str, typer.Argument(help="A store, such as slices.zarr.", autocompletion=stores)],
    history: Annotated[
        bool,
        typer.Option("--history", help="What was changed, commit by commit, and what can still be opened."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what a store holds: settings, datasets, splits, views, classes, sizes, failures.

    An older generation is named with the store: slices.zarr@3.

    [bold]Examples[/bold]

      fve info slices.zarr

      fve info slices.zarr --json | jq .classes

      fve info slices.zarr --history
    """
    from fve_pipeline.store.reader import open_store
    from fve_pipeline.store.summary import describe_history, summarise

    opened = open_store(store)
    if history:
        told = describe_history(opened)
        if as_json:
            print_json(told)
        else:
            _history(told)
        return
    described = summarise(opened)
    if as_json:
        print_json(described)
        return
    _facts(store, described)
    _counts("dataset", described["datasets"])
    _classes(described["classes"])
    for failure in described["failures"]:
        console.print(f"failed: {failure['case']}: {failure['reason']}", style="red", markup=False)


def _facts(name: str, described: dict[str, Any]) -> None:
    table = Table(title=name, show_header=False, title_justify="left")
    for key in (
        "format_version",
        "generation",
        "samples",
        "cases",
        "subjects",
        "shards",
        "bytes",
        "content_id",
    ):
        value = described[key]
        table.add_row(key, f"{value:,}" if isinstance(value, int) else str(value))
    for key, counts in described["counts"].items():
        table.add_row(key, ", ".join(f"{value} {count:,}" for value, count in counts.items()))
    settings = described["settings"]
    table.add_row("settings", ", ".join(f"{key}={value}" for key, value in settings.items()))
    console.print(table)


def _counts(name: str, rows: list[dict[str, Any]]) -> None:
    table = Table(name, "modality", "cases", "samples", "licence")
    for row in rows:
        table.add_row(
            row["dataset"], row["modality"], f"{row['cases']:,}", f"{row['samples']:,}", row["licence"]
        )
    console.print(table)


def _classes(rows: list[dict[str, Any]]) -> None:
    table = Table("dataset", "id", "class", "cases", "samples", "prompts")
    for row in rows:
        table.add_row(
            row["dataset"],
            str(row["class_id"]),
            row["name"],
            f"{row['cases']:,}",
            f"{row['samples']:,}",
            str(row["prompts"]),
        )
    console.print(table)


_SHOWN = 8  # cases of a reason that are printed


def _history(told: dict[str, Any]) -> None:
    kept = ", ".join(map(str, told["kept"])) or "none"
    _line(f"generation {told['generation']}; older ones that can be opened: {kept}")
    for change in told["history"]:
        _line(f"{change['generation']}: {change['kind']}, {change['n_samples']:,} samples since")
        if change["withdrawn"]:
            _line(f"   {change['withdrawn']:,} cases withdrawn")
        for reason, cases in change["cases"].items():
            more = f" and {len(cases) - _SHOWN:,} more (--json)" if len(cases) > _SHOWN else ""
            _line(f"   {reason}: {', '.join(cases[:_SHOWN])}{more}")
    if not told["history"]:
        _line("built, and at most appended to: nothing was changed")


def _line(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
