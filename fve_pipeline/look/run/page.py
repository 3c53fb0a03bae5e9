"""Training runs as one self-contained page: curves, scores, the last pictures, settings, and where settings differ."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from fve_pipeline.look.figures import save_figure
from fve_pipeline.look.report import html
from fve_pipeline.look.report.shell import assemble
from fve_pipeline.look.run.history import History, names_apart
from fve_pipeline.look.run.picture import draw_runs

__all__ = ["make_run_report"]

_SHOWN = 8  # pictures of a run


def make_run_report(runs: Sequence[History], title: str) -> str:
    """Return the page as HTML; several runs stand beside each other. Raises ReportError without matplotlib."""
    names = names_apart(runs)
    sections = {
        "curves": ("Curves", _curves(runs)),
        "scores": ("Scores", _scores(runs, names)),
        "pictures": ("Pictures", _pictures(runs, names)),
        "settings": ("Settings", _settings(runs, names)),
    }
    return assemble(title, sections)


def _curves(runs: Sequence[History]) -> str:
    drawn = io.BytesIO()
    save_figure(draw_runs(runs), drawn, dpi=150)
    told = "Loss, Dice, samples a second and time spent waiting for data, over steps"
    rows = []
    for run, name in zip(runs, names_apart(runs), strict=True):
        last = run.steps[-1] if run.steps else {}
        best = max(run.validations, key=lambda one: one["dice"], default=None)
        rows.append(
            [
                name,
                last.get("step", 0),
                last.get("loss", float("nan")),
                last.get("samples_per_s", float("nan")),
                f"{100 * last.get('data_wait', 0):.0f} %",
                "–" if best is None else f"{best['dice']:.3f} at step {best['step']}",
            ]
        )
    heads = ["run", "steps", "last loss", "samples/s", "waiting for data", "best mean Dice"]
    figure = f'<figure class="wide" tabindex="0"><img alt="{told}" class="paper" src="{_data(drawn.getvalue())}"></figure>'
    return html.section("curves", "Curves", figure, html.table(heads, rows, caption="At the last step"))


def _scores(runs: Sequence[History], names: Sequence[str]) -> str:
    if not any(run.validations for run in runs):
        return html.section("scores", "Scores", html.paragraph("No run was validated."))
    told = (
        "Dice is that of whole cases, averaged over subjects, with what the presence filter leaves; “every slice "
        "asked” is without it. Presence counts slices: precision is the share of slices called present that hold the "
        "class, recall the share of those that hold it and were called so. Last validation of each run."
    )
    heads = [
        "class",
        *("run",) * (len(runs) > 1),
        *("Dice", "Dice, every slice asked", "presence precision", "presence recall", "subjects"),
    ]
    rows = []
    for run, name in zip(runs, names, strict=True):
        for of_class, row in (run.validations[-1]["classes"] if run.validations else {}).items():
            values = (row[key] for key in ("dice", "dice_raw", "precision", "recall"))
            cells = [("–", -1.0) if v is None else (f"{v:.3f}", float(v)) for v in values]
            rows.append([of_class, *(name,) * (len(runs) > 1), *cells, int(row["subjects"])])
    rows.sort(key=lambda row: row[0])
    return html.section(
        "scores",
        "Scores",
        html.paragraph(told),
        html.table(heads, rows, caption="Scores by class", limit=4000),
    )


def _pictures(runs: Sequence[History], names: Sequence[str]) -> str:
    parts = []
    for run, name in zip(runs, names, strict=True):
        figures = [
            f'<figure><img alt="{escape(_told(path))}, truth left, prediction right" loading="lazy" '
            f'src="{_data(path.read_bytes())}"><figcaption>{escape(_told(path))}: truth left, prediction right, '
            "Dice of the slice below</figcaption></figure>"
            for path in run.pictures[:_SHOWN]
        ]
        heading = f"<h3>{escape(name)}</h3>" if len(runs) > 1 else ""
        if figures:
            parts.append(f'{heading}<div class="pairs">{"".join(figures)}</div>')
    return html.section(
        "pictures", "Pictures of the last validation", *(parts or [html.paragraph("None were drawn.")])
    )


def _told(path: Path) -> str:
    _, step, case = path.stem.split("-", 2)
    return f"step {int(step)}, {case}"


def _settings(runs: Sequence[History], names: Sequence[str]) -> str:
    flat = [dict(_flat(run.settings)) for run in runs]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    if not keys:
        return html.section("settings", "Settings", html.paragraph("The runs recorded no settings."))
    rows = [[key, *(one.get(key, "–") for one in flat)] for key in keys]
    heads = ["setting", *(names if len(runs) > 1 else ["value"])]
    if len(runs) == 1:
        return html.section("settings", "Settings", html.table(heads, rows, caption="All settings"))
    differing = [row for row in rows if len(set(row[1:])) > 1]
    return html.section(
        "settings",
        "Settings",
        html.table(heads, differing, caption="Settings that differ")
        if differing
        else html.paragraph("All settings are the same."),
        html.details("All settings", html.table(heads, rows, caption="All settings")),
    )


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", str(value)


def _data(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
