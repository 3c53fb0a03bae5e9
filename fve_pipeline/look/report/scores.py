"""The section about scores that `fve evaluate` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fve_pipeline.errors import EvaluationError
from fve_pipeline.evaluation.report import group_mean
from fve_pipeline.look.report import html
from fve_pipeline.look.report.charts import intervals, violin
from fve_pipeline.look.report.known import KnownCases
from fve_pipeline.look.report.panels import PanelFolders, ScoredCase, panels

__all__ = ["read_scores", "scores_section"]

_NAMES = {"dsc": "Dice", "nsd": "Surface Dice", "f1": "Instance F1", "dsc_tp": "Dice of matched instances"}
_EXTREMES, _PANELS, _CLASSES = 12, 4, 400


def read_scores(path: Path) -> pa.Table:
    """Raises EvaluationError when the file is not one that `fve evaluate` wrote."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        msg = f"{path}: cannot be read as scores ({error}); fve evaluate writes them"
        raise EvaluationError(msg) from error
    missing = [n for n in ("case", "dataset", "modality", "class_id", "dsc") if n not in table.column_names]
    if missing:
        msg = f"{path}: has no column {', '.join(missing)}; fve evaluate writes scores"
        raise EvaluationError(msg)
    return table


def scores_section(
    scores: pa.Table,
    names: dict[tuple[str, int], str],
    folders: PanelFolders | None = None,
    known: KnownCases | None = None,
) -> str:
    """Violins by class, bars by modality with bootstrap intervals, and the worst and best cases.

    ``known`` gives cases the dataset and modality that their scores lack, and the window that they are shown in.

    ``names`` gives classes their names, by (dataset, class id). With ``folders`` the first of the worst and the
    best cases are shown.
    """
    cases_of_store = known or KnownCases({})
    rows = cases_of_store.filled(scores.to_pylist())
    cases = [row for row in rows if row["class_id"] is None]
    classes = [row for row in rows if row["class_id"] is not None]
    parts = []
    for metric, title in _NAMES.items():
        having = [row for row in cases if _valid(row.get(metric))]
        if having:
            parts.append(f"<h3>{title} by modality</h3>{_by_modality(having, metric, title)}")
    for metric in ("dsc", "nsd"):
        having = [row for row in classes if _valid(row.get(metric))]
        if having:
            parts.append(f"<h3>{_NAMES[metric]} by class</h3>{_by_class(having, metric, names)}")
    parts.append(_extremes(cases, classes, folders, cases_of_store))
    return html.section("scores", "Scores", *parts)


def _valid(value: Any) -> bool:
    return isinstance(value, float) and value == value


def _by_modality(rows: list[dict[str, Any]], metric: str, title: str) -> str:
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(row["modality"] or "?", []).append(row[metric])
    groups = dict(sorted(groups.items())) | {"all": [row[metric] for row in rows]}
    bars = []
    for name, values in groups.items():
        key = ("all", "", None) if name == "all" else ("modality", name, None)
        found = group_mean(key, metric, values)
        bars.append((f"{name} ({len(values):,})", found.mean, found.low, found.high))
    chart = intervals(bars, 1.0, f"{title} by modality, means over cases with 95 % intervals")
    return f"<figure>{chart}<figcaption>Means over cases (their number) with 95 % bootstrap intervals.</figcaption></figure>"


def _by_class(rows: list[dict[str, Any]], metric: str, names: dict[tuple[str, int], str]) -> str:
    groups: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        groups.setdefault((row["dataset"], row["class_id"]), []).append(row[metric])
    body: list[list[Any]] = []
    for key, values in groups.items():
        name = names.get(key, "")
        ordered = sorted(values)
        median = float(np.median(values))
        label = f"{key[0]} {key[1]} {name}: median {median:.3f} of {len(values)} cases"
        chart = violin(values, 0.0, 1.0, label)
        body.append([key[0], key[1], name, len(values), (chart, median), median, ordered[0]])
    body.sort(key=lambda row: row[5])
    heads = ["dataset", "id", "class", "cases", "0 to 1", "median", "least"]
    return html.table(heads, body, caption="Classes, the worst first", raw=(4,), limit=_CLASSES)


def _score(row: dict[str, Any]) -> float | None:
    """Dice, or F1 of a case of instances; None for a case without either."""
    return next((float(row[name]) for name in ("dsc", "f1") if _valid(row.get(name))), None)


def _extremes(
    cases: list[dict[str, Any]],
    classes: list[dict[str, Any]],
    folders: PanelFolders | None,
    known: KnownCases,
) -> str:
    """The worst and the best cases; no case is in both."""
    ranked = sorted((row for row in cases if _score(row) is not None), key=lambda row: _score(row) or 0.0)
    n = min(_EXTREMES, len(ranked) // 2)
    parts = []
    for caption, rows in (("The worst cases", ranked[:n]), ("The best cases", ranked[::-1][:n])):
        listed = [[row["case"], row["dataset"], row["modality"], _score(row)] for row in rows]
        heads = ["case", "dataset", "modality", "score"]
        parts.append(html.table(heads, listed, caption=f"{caption} (Dice, or F1 of instances)"))
        if folders is not None:
            shown = [_shown(row, classes, known) for row in rows[:_PANELS]]
            parts.append(panels(shown, folders))
    return "".join(parts)


def _shown(row: dict[str, Any], classes: list[dict[str, Any]], known: KnownCases) -> ScoredCase:
    case = known.of_case(row["case"])
    scored = frozenset(one["class_id"] for one in classes if one["case"] == row["case"])
    return ScoredCase(
        row["case"], _score(row) or 0.0, row["modality"] or "", case.window if case else None, scored
    )
