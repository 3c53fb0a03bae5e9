"""A run at a glance: loss, Dice, speed and time lost to waiting for data, as one picture; several runs over each other."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import ReportError
from fve_pipeline.files.atomic import write_whole
from fve_pipeline.look.figures import blank_figure, save_figure
from fve_pipeline.look.run.history import History, names_apart, read_history

__all__ = ["ProgressPicture", "draw_runs"]

_MOST = 12  # classes with a line of their own
_AGAIN = 300.0  # seconds after which the picture is drawn again without a validation


class ProgressPicture:
    """A tracker that keeps ``progress.png`` in the run's folder: drawn at validations, every five minutes, at the end.

    Without matplotlib it draws nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.drawn = folder, time.monotonic()

    def numbers(self, values: Iterable[tuple[str, float]], step: int) -> None:  # noqa: ARG002 (a tracker's signature)
        validated = any(name.startswith("validation/") for name, _ in values)
        if validated or time.monotonic() - self.drawn > _AGAIN:
            self.draw()

    def image(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        """Leave pictures where they lie."""

    def close(self) -> None:
        self.draw()

    def draw(self) -> None:
        history = read_history(self.folder)
        if not history.steps:
            return
        try:
            figure = draw_runs([history])
        except ReportError:
            return
        drawn = io.BytesIO()
        save_figure(figure, drawn, dpi=110)
        with write_whole(self.folder / "progress.png") as file:
            file.write(drawn.getvalue())
        self.drawn = time.monotonic()


def draw_runs(runs: Sequence[History]) -> Any:
    """Return a figure of three panels: loss; Dice by class of one run, or the mean of each of several; speed and waiting.

    Raises ReportError without matplotlib.
    """
    figure = blank_figure(6, 2, 2.1)
    loss, dice, speed = figure.subplots(1, 3)
    names = names_apart(runs)
    for run, name in zip(runs, names, strict=True):
        _loss(loss, run, name)
        if len(runs) > 1:
            points = [(one["step"], one["dice"]) for one in run.validations]
            _line(dice, points, name)
        _speed(speed, run, name, alone=len(runs) == 1)
    if len(runs) == 1:
        _by_class(dice, runs[0])
    loss.set_title("loss (thin: each step; thick: smoothed)" if len(runs) == 1 else "loss, smoothed")
    dice.set_title(
        "Dice of whole validation cases" if len(runs) == 1 else "mean Dice of whole validation cases"
    )
    dice.set_ylim(0, 1.02)
    speed.set_title("samples a second, and time spent waiting for data")
    for panel in (loss, dice, speed):
        panel.title.set_fontsize(9)
        panel.set_xlabel("step", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.25)
        handles, _ = panel.get_legend_handles_labels()
        if handles:
            panel.legend(fontsize=7, framealpha=0.8)
    if not any(run.validations for run in runs):
        dice.text(0.5, 0.5, "not validated yet", ha="center", transform=dice.transAxes, fontsize=8)
    return figure


def _loss(panel: Any, run: History, name: str) -> None:
    steps, values = _column(run, "loss")
    smooth = _smoothed(values)
    thick = panel.plot(steps, smooth, linewidth=1.8, label=name)[0]
    panel.plot(steps, values, color=thick.get_color(), linewidth=0.5, alpha=0.4)
    if len(values) and values.min() > 0 and values.max() > 20 * values.min():
        panel.set_yscale("log")
        panel.set_ylabel("log scale", fontsize=8)


def _by_class(panel: Any, run: History) -> None:
    last = {name: points[-1][1] for name in run.classes if (points := run.dice(name))}
    shown = sorted(last, key=lambda name: last[name])[:_MOST]  # the worst are what one looks for
    for name in sorted(shown, key=lambda name: -last[name]):
        _line(panel, run.dice(name), f"{name} {last[name]:.2f}", width=1)
    mean = [(one["step"], one["dice"]) for one in run.validations]
    if mean:
        _line(panel, mean, f"mean of {len(last)} {mean[-1][1]:.2f}", width=2.2, color="black")
    if len(last) > _MOST:
        panel.set_xlabel(f"the {_MOST} lowest of {len(last)} classes")


def _line(
    panel: Any, points: Sequence[tuple[int, float]], label: str, width: float = 1.6, color: str | None = None
) -> None:
    if points:
        panel.plot(*zip(*points, strict=True), "o-", markersize=3, linewidth=width, color=color, label=label)


def _speed(panel: Any, run: History, name: str, *, alone: bool) -> None:
    steps, values = _column(run, "samples_per_s")
    label = "samples a second" if alone else name
    panel.plot(steps, _smoothed(values), linewidth=1.4, label=label)
    panel.set_ylim(bottom=0)
    if not alone:
        return
    steps, waited = _column(run, "data_wait")
    right = panel.twinx()
    right.fill_between(steps, 100 * _smoothed(waited), color="tab:red", alpha=0.25, linewidth=0)
    right.set_ylim(0, 100)
    right.set_ylabel("waiting for data, % of the time (red)", fontsize=8)
    right.tick_params(labelsize=8)


def _column(run: History, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rows = [(line["step"], line[name]) for line in run.steps if name in line]
    return np.array([step for step, _ in rows], np.int64), np.array([value for _, value in rows], np.float64)


def _smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of the values so far, of which one a fiftieth of the run back counts about a third."""
    kept = np.exp(-1 / max(1.0, len(values) / 50))
    out = np.empty_like(values)
    total = weight = 0.0
    for place, value in enumerate(values.tolist()):
        total, weight = kept * total + value, kept * weight + 1
        out[place] = total / weight
    return out
