"""The comparison as one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fve_pipeline.coreset.compare import Comparison, Metric
from fve_pipeline.errors import CoresetError

__all__ = ["plot_comparison"]


def plot_comparison(comparison: Comparison, path: Path) -> None:
    """One panel a metric: a dot a seed, a tick at the mean, and random's range as a band.

    Raises CoresetError when matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        msg = "a plot needs matplotlib: pip install 'fve-pipeline[report]'"
        raise CoresetError(msg) from error
    columns = 3
    rows = -(-len(comparison.metrics) // columns)
    height = 0.9 + 0.28 * len(comparison.methods)
    figure = Figure(figsize=(12, rows * height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, metric in zip(panels, comparison.metrics, strict=False):
        _panel(panel, comparison, metric)
    for panel in panels[len(comparison.metrics) :]:
        panel.set_axis_off()
    figure.suptitle(
        f"{comparison.chosen} of {comparison.cases} cases, {len(comparison.seeds)} seeds each; "
        "a dot a seed, grey: random's range",
        fontsize=10,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None} if path.suffix == ".png" else None)


def _panel(panel: Any, comparison: Comparison, metric: Metric) -> None:
    base = comparison.of("random", metric.name)
    panel.axvspan(base.min(), base.max(), color="0.85", lw=0)
    for place, method in enumerate(comparison.methods):
        values = comparison.of(method, metric.name)
        panel.plot(values, [place] * len(values), "o", ms=4, mfc="none", color=f"C{place}")
        panel.plot([values.mean()], [place], "|", ms=13, mew=2, color=f"C{place}")
    panel.set_yticks(range(len(comparison.methods)), comparison.methods, fontsize=8)
    panel.invert_yaxis()
    panel.tick_params(axis="x", labelsize=8)
    panel.margins(x=0.08)
    arrow = "more is better" if metric.sign > 0 else "less is better"
    panel.set_title(f"{metric.name} ({arrow})", fontsize=9, loc="left")
