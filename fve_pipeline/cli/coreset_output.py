"""How ``fve coreset`` prints what it found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from fve_pipeline.coreset import Comparison, Pool, Selection

__all__ = ["print_comparison", "print_selection", "to_json"]


def to_json(value: Any) -> str:
    """Indented, with every letter as it is."""
    return json.dumps(value, indent=1, ensure_ascii=False)


def print_selection(selection: Selection, pool: Pool, out: Path, as_json: bool) -> None:
    """What was chosen: two lines and notes, or JSON."""
    from fve_pipeline.coreset.summary import summarise

    summary = summarise(selection, pool)
    if as_json:
        typer.echo(to_json({"selection": str(out), **summary}))
        return
    by = f"by {selection.method}, seed {selection.seed}"
    largest = f"largest {summary['largest_share']:.0%} ({summary['largest_dataset']})"
    typer.echo(f"{out}: {summary['cases']} of {summary['eligible']} cases {by}")
    typer.echo(f"datasets: {summary['datasets']} of {summary['pool_datasets']}, {largest}")
    typer.echo(
        f"classes with a case: {summary['classes_1']} of {summary['pool_classes_1']} that have one, "
        f"with 5 or more: {summary['classes_5']} of {summary['pool_classes_5']}, "
        f"with 10 or more: {summary['classes_10']} of {summary['pool_classes_10']}"
    )
    for note in selection.notes:
        typer.echo(f"note: {note}", err=True)


def print_comparison(result: Comparison) -> None:
    """A table: a row a metric, a column a method."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{result.chosen} of {result.cases} cases, {len(result.seeds)} seeds: mean (least to most)"
    )
    table.add_column("", min_width=30)
    for method in result.methods:
        table.add_column(method, justify="right")
    for metric in result.metrics:
        possible = f" (of {result.possible[metric.name]:g})" if metric.name in result.possible else ""
        cells = []
        for method in result.methods:
            values = result.of(method, metric.name)
            word = "" if method == "random" else f"\n{result.verdict(method, metric.name)}"
            spread = f" ({values.min():.3g} to {values.max():.3g})" if values.min() < values.max() else ""
            cells.append(f"{values.mean():.3g}{spread}{word}")
        table.add_row(metric.meaning + possible, *cells)
    console = Console()
    console.print(table)
    console.print("better, worse: every seed is beyond every seed of random; overlaps: no difference shown.")
    for method, notes in result.notes.items():
        for note in notes:
            typer.echo(f"note ({method}): {note}", err=True)
