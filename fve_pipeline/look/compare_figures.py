"""Pictures of a comparison: boxes of all models, paired cases, and agreement of volumes (Bland–Altman)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fve_pipeline.evaluation.compare import Key, Scores
from fve_pipeline.look.figures import blank_figure

__all__ = ["agreement_figure", "boxes_figure", "pairs_figure"]


def boxes_figure(scores: Sequence[Scores], metric: str) -> Any:
    """Boxes and points of a metric, one model beside the other: each point a class of a case."""
    figure = blank_figure(2, 2)
    panel = figure.subplots()
    values = [[row[metric] for row in _points(one, metric).values()] for one in scores]
    panel.boxplot(values, tick_labels=[one.name for one in scores], showfliers=False)
    for place, own in enumerate(values, start=1):
        spread = np.random.default_rng(place).uniform(-0.12, 0.12, len(own))
        panel.plot(place + spread, own, ".", markersize=3, alpha=0.5)
    panel.set_ylabel(metric)
    panel.set_title(f"{metric}: a point is a class of a case", fontsize=9)
    return figure


def pairs_figure(first: Scores, second: Scores, metric: str) -> Any:
    """A line for each class of a case, from one model's score to the other's; blue where it rose, red where it fell."""
    figure = blank_figure(2, 2)
    panel = figure.subplots()
    others = _points(second, metric)
    for key, row in _points(first, metric).items():
        if key not in others:
            continue
        ends = row[metric], others[key][metric]
        panel.plot(
            (0, 1), ends, color="tab:red" if ends[1] < ends[0] else "tab:blue", alpha=0.4, linewidth=0.8
        )
    panel.set_xticks((0, 1), (first.name, second.name))
    panel.set_ylabel(metric)
    panel.set_title(f"{metric}, class by class: blue rises, red falls", fontsize=9)
    return figure


def agreement_figure(scores: Sequence[Scores]) -> Any:
    """Bland–Altman: predicted less true volume, in percent of their mean, over that mean; a panel a model.

    Lines are the mean difference and 1.96 standard deviations to either side.
    """
    figure = blank_figure(2 * len(scores), 2)
    for panel, one in zip(
        figure.subplots(1, len(scores), squeeze=False, sharey=True)[0], scores, strict=True
    ):
        rows = [row for row in one.rows.values() if row["truth_voxels"] and row["pred_voxels"] is not None]
        truth, pred = (
            np.array([row[name] for row in rows], float) for name in ("truth_voxels", "pred_voxels")
        )
        mean = (truth + pred) / 2
        difference = 100 * (pred - truth) / mean
        panel.semilogx(mean, difference, ".", markersize=3)
        if len(rows) > 1:
            middle, spread = difference.mean(), 1.96 * difference.std(ddof=1)
            for line, style in ((middle, "-"), (middle - spread, "--"), (middle + spread, "--")):
                panel.axhline(line, linestyle=style, color="grey", linewidth=0.8)
                panel.annotate(f"{line:+.0f} %", (1, line), xycoords=("axes fraction", "data"), fontsize=7)
        panel.set_xlabel("mean of predicted and true voxels (log)")
        panel.set_title(one.name, fontsize=9)
    figure.axes[0].set_ylabel("predicted − true, % of the mean")
    return figure


def _points(scores: Scores, metric: str) -> dict[Key, Mapping[str, Any]]:
    """The rows that have a value: of classes, or of cases where a score is of whole cases (F1)."""
    found = {
        key: row for key, row in scores.rows.items() if row[metric] is not None and row[metric] == row[metric]
    }
    classes = {key: row for key, row in found.items() if key[2] is not None}
    return classes or found
