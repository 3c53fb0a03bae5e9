"""``fve compare``: score files of several models -> which is better, and how surely."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from fve_pipeline.cli.options import Json
from fve_pipeline.cli.progress import console
from fve_pipeline.cli.running import print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fve_pipeline.evaluation.compare import Contest, Scores

__all__ = ["compare"]

_SHOWN = 30  # rows of two models that are printed


def compare(
    scores: Annotated[
        list[Path], typer.Argument(help="Score files of fve evaluate, two or more, of the same cases.")
    ],
    names: Annotated[
        str | None, typer.Option(help="What to call them, with commas. [default: what tells the paths apart]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the table (CSV, Markdown) and the figures (PNG).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap intervals.")] = 0,
    allow_seen: Annotated[
        bool, typer.Option("--allow-seen", help="Compare though a model was trained on some of the cases.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say which of several models is better: their scores paired by case and class.

    For every two models the mean difference with its 95 % bootstrap interval over cases, Wilcoxon's signed-rank test,
    adjusted by Holm for all comparisons of a score (overall and by class apart), the rank-biserial correlation and
    Cohen's d of the differences. Overall, a case counts once, by its mean over classes. Files that are not of the same
    cases and classes, or were scored by other rules, are refused, and so are cases that one of the models was trained on,
    as the reports of fve predict say.

    [b]Examples[/]

    fve compare ours/scores.parquet theirs/scores.parquet

    fve compare a.parquet b.parquet c.parquet --names ISD,"no filter",stacked --out comparison/
    """
    from fve_pipeline.evaluation.compare import compare_scores, read_scores

    chosen = [name.strip() for name in names.split(",")] if names else ()
    read = read_scores(scores, chosen, allow_seen=allow_seen)
    found = compare_scores(read, seed=seed)
    if out is not None:
        _write(read, found, out)
    if as_json:
        print_json(
            {"models": {one.name: str(one.path) for one in read}, "comparisons": [c.as_row() for c in found]}
        )
        return
    _print(found)
    if out is not None:
        typer.echo(f"table and figures: {out}")


def _row(one: Contest) -> tuple[str, ...]:
    pair = one.paired
    return (
        one.metric,
        "overall" if one.class_id is None else f"{one.dataset} {one.class_id}".strip(),
        f"{one.second} − {one.first}",
        _number(pair.first, ".4f"),
        _number(pair.second, ".4f"),
        _number(pair.difference, "+.4f"),
        f"{pair.low:+.4f} to {pair.high:+.4f}" if pair.low == pair.low else "",
        _p(one.p_holm),
        _number(pair.rank_biserial, "+.2f"),
        f"{pair.better}/{pair.equal}/{pair.worse}",
        str(pair.n) + (f" (+{pair.undefined})" if pair.undefined else ""),
    )


_HEADS = (
    *("score", "class", "second − first", "first", "second", "difference", "95 % interval", "p (Holm)"),
    *("rank r", "better/equal/worse", "cases (+undefined)"),
)


def _number(value: float, form: str) -> str:
    return f"{value:{form}}" if value == value else ""


def _p(value: float) -> str:
    return "" if value != value else "<0.0001" if value < 1e-4 else f"{value:.4f}"


def _print(found: Sequence[Contest]) -> None:
    pairs = dict.fromkeys((one.first, one.second) for one in found)
    for first, second in pairs:
        own = [one for one in found if (one.first, one.second) == (first, second)]
        own.sort(key=lambda one: one.class_id is not None)
        table = Table(
            *("", "class", "means", "difference \\[95 %]", "p, Holm", "+/=/−", "n"),
            title=f"{second} − {first}",
            title_justify="left",
            padding=(0, 1, 0, 0),
        )
        for one in own[:_SHOWN]:
            metric, where, _, before, after, change, _, p, _, counts, cases = _row(one)
            pair = one.paired
            interval = f" \\[{pair.low:+.3f}, {pair.high:+.3f}]" if pair.low == pair.low else ""
            change = _number(pair.difference, "+.3f") + interval
            table.add_row(metric, where, f"{before[:5]} {after[:5]}", change, p, counts, cases)
        console.print(table)
        if len(own) > _SHOWN:
            typer.echo(f"{len(own) - _SHOWN:,} more rows: --out or --json has them all.")


def _write(scores: Sequence[Scores], found: Sequence[Contest], out: Path) -> None:
    import csv
    import io
    from itertools import combinations

    from fve_pipeline.files.atomic import write_whole
    from fve_pipeline.look.compare_figures import agreement_figure, boxes_figure, pairs_figure
    from fve_pipeline.look.figures import save_figure

    metrics = list(dict.fromkeys(one.metric for one in found))
    figures = {f"boxes_{metric}": boxes_figure(scores, metric) for metric in metrics}
    for first, second in combinations(range(len(scores)), 2):
        for metric in metrics:
            figures[f"pairs_{metric}_{first + 1}_{second + 1}"] = pairs_figure(
                scores[first], scores[second], metric
            )
    figures["volumes"] = agreement_figure(scores)
    out.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        save_figure(figure, out / f"{name}.png", dpi=120)
    text = io.StringIO()
    rows = [one.as_row() for one in found]
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    lines = [" | ".join(cells) for cells in (_HEADS, ["---"] * len(_HEADS), *map(_row, found))]
    texts = {
        "comparison.csv": text.getvalue(),
        "comparison.md": "".join(f"| {line} |\n" for line in lines),
    }
    for name, content in texts.items():
        with write_whole(out / name) as file:
            file.write(content.encode())
