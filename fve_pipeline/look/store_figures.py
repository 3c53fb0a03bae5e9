"""Figures of a store, from its tables: which views its slices are of, and how often its classes occur."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from fve_pipeline.imaging.views import VIEWS, in_plane_ratio
from fve_pipeline.look.figures import blank_figure
from fve_pipeline.store.reader import Store
from fve_pipeline.store.summary import summarise

__all__ = ["draw_classes", "draw_views"]

_COLOURS = {"axial": "#0072b2", "coronal": "#e69f00", "sagittal": "#009e73"}
# So that the views are told apart in print and without colour too.
_HATCHES = {"axial": "", "coronal": "///", "sagittal": "..."}
_MARKERS = {"axial": "o", "coronal": "s", "sagittal": "^"}
_ABOVE = {"fontsize": 7, "frameon": False, "loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 4}
_LINE = 0.18  # inches a bar


def draw_views(store: Store) -> Any:
    """Samples by dataset and view; and what the choice is made from: shapes of the volumes.

    The rule looks at how far from square the axial slices are, 2|H−W|/(H+W), and at the spacing's spread.
    """
    index, cases = store.index, store.cases.select(["shape", "spacing", "views"]).to_pylist()
    pairs = zip(index.column("dataset").to_pylist(), index.column("view").to_pylist(), strict=True)
    counts = Counter(pairs)
    datasets = list(dict.fromkeys(index.column("dataset").to_pylist()))
    height = max(2.4, 0.9 + _LINE * len(datasets))
    figure = blank_figure(4, 1, height=height)
    bars, points = figure.subplots(1, 2)
    left = np.zeros(len(datasets))
    for view in VIEWS:
        lengths = np.array([counts[dataset, view] for dataset in datasets])
        if lengths.any():
            style = {"color": _COLOURS[view], "hatch": _HATCHES[view], "edgecolor": "white", "lw": 0}
            bars.barh(datasets, lengths, left=left, label=view, **style)
            left += lengths
    bars.invert_yaxis()
    bars.set_xlabel("samples", fontsize=8)
    bars.legend(**_ABOVE)
    for views in sorted({tuple(case["views"]) for case in cases}, key=len):
        chosen = [case for case in cases if tuple(case["views"]) == views]
        ratios = [in_plane_ratio(tuple(case["shape"]), "axial") for case in chosen]
        spreads = [1 - min(case["spacing"]) / max(case["spacing"]) for case in chosen]
        look = {"color": "black", "marker": "*"} if len(views) > 1 else {}
        if len(views) == 1:
            look = {"color": _COLOURS[views[0]], "marker": _MARKERS[views[0]]}
        points.scatter(ratios, spreads, s=14, lw=0, label=", ".join(views), **look)
    points.axvline(0.5, color="grey", lw=0.8, ls="--")
    points.axhline(0.1, color="grey", lw=0.8, ls=":")
    points.set_xlabel("axial slices, distance from square", fontsize=8)
    points.set_ylabel("spacing, (max − min) / max", fontsize=8)
    points.legend(**_ABOVE)
    for panel in (bars, points):
        panel.tick_params(labelsize=7)
    return figure


def draw_classes(store: Store, most: int = 60) -> Any:
    """Cases and samples that hold each class, on a logarithmic scale; of many classes the rarest ``most``."""
    every = sorted(summarise(store)["classes"], key=lambda row: (row["samples"], row["cases"]))
    rows = every[:most]
    figure = blank_figure(3, 1, height=0.8 + 2 * _LINE * len(rows))
    panel = figure.subplots()
    places = np.arange(len(rows))
    named = [f"{row['dataset']}: {row['name']}" for row in rows]
    for offset, key, colour in ((-0.2, "samples", _COLOURS["axial"]), (0.2, "cases", _COLOURS["coronal"])):
        lengths = [row[key] for row in rows]
        panel.plot(np.maximum(lengths, 0.7), places + offset, "o", color=colour, markersize=4, label=key)
        for place, length in zip(places, lengths, strict=True):
            panel.text(max(length, 0.7) * 1.15, place + offset, f"{length:,}", va="center", fontsize=6)
    if any(row["samples"] for row in rows):
        panel.set_xscale("log")
    panel.set_xlim(left=0.7, right=4 * max([1, *(row["samples"] for row in rows)]))
    panel.set_yticks(places, named)
    panel.set_xlabel("cases and samples that hold the class (log scale; none at the left edge)", fontsize=7)
    panel.grid(axis="x", alpha=0.3)
    panel.invert_yaxis()
    panel.tick_params(labelsize=7)
    panel.legend(fontsize=7, frameon=False, loc="lower right")
    if len(rows) < len(every):
        panel.set_title(f"the {len(rows)} rarest of {len(every)} classes", fontsize=8)
    return figure
