"""fve diff: what differs between two stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from fve_pipeline.cli.completion import stores
from fve_pipeline.cli.options import Json
from fve_pipeline.cli.progress import console
from fve_pipeline.cli.running import print_json

if TYPE_CHECKING:
    from fve_pipeline.store.diff import StoreDiff

__all__ = ["diff"]

_SHOWN = 20  # cases of a kind that are printed


def diff(
    first: Annotated[str, typer.Argument(help="A store, such as slices.zarr.", autocompletion=stores)],
    second: Annotated[str, typer.Argument(help="Another, or an older copy of it.", autocompletion=stores)],
    as_json: Json = False,
) -> None:
    """Compare two stores by content: settings, classes, cases, voxels a class. Only tables are read.

    How a store lies on disk (storage, codec, shards) is compared as settings; equal content ids mean the same pixels and
    labels in the same order. Exit code 0: nothing differs; 1: something does; 2: a store cannot be read.

    [bold]Examples[/bold]

      fve diff monday.zarr friday.zarr

      fve diff a.zarr s3://bucket/b.zarr --json | jq .changed
    """
    from fve_pipeline.store.diff import diff_stores
    from fve_pipeline.store.reader import open_store

    found = diff_stores(open_store(first), open_store(second))
    if as_json:
        print_json(found.as_json())
    else:
        _print(found, first, second)
    raise typer.Exit(0 if found.same else 1)


def _print(found: StoreDiff, first: str, second: str) -> None:
    table = Table("", first, second, title_justify="left")
    table.add_row("content id", *(one[:16] for one in found.content))
    for key, pair in found.settings.items():
        table.add_row(key, *map(_said, pair))
    for name, pair in found.voxels.items():
        table.add_row(f"voxels of {name}", *(f"{one:,}" for one in pair))
    console.print(table)
    for name, what in found.classes.items():
        if isinstance(what, tuple):
            _line(f"class {name}: only in {first if what[1] is None else second}")
        else:
            _line(f"class {name}: {_list(what)}")
    for store, cases in ((first, found.removed), (second, found.added)):
        if cases:
            _line(f"{len(cases):,} cases only in {store}: {', '.join(cases[:_SHOWN])}{_more(len(cases))}")
    if found.changed:
        _line(f"{len(found.changed):,} cases differ:")
        for case, what in list(found.changed.items())[:_SHOWN]:
            _line(f"  {case}: {_list(what)}")
        _line(_more(len(found.changed)))
    if found.order:
        _line("the cases that both have come in another order")
    if found.same:
        _line("nothing differs")


def _line(text: str) -> None:
    if text:
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _more(count: int) -> str:
    return f" … {count - _SHOWN:,} more (--json)" if count > _SHOWN else ""


def _list(what: dict[str, Any]) -> str:
    return "; ".join(f"{key} {_said(one)} → {_said(other)}" for key, (one, other) in what.items())


def _said(value: Any) -> str:
    """A value in few characters: hashes by their beginning."""
    if isinstance(value, list):
        return " ".join(map(_said, value)) or "none"
    text = "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return text[:12] if len(text) == 64 else text
