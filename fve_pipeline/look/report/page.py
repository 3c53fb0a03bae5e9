"""The page about a store: its sections and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fve_pipeline.coreset.selection import Selection
from fve_pipeline.coreset.table import CaseTable
from fve_pipeline.look.report import html
from fve_pipeline.look.report.alerts import failure_alert, find_alerts
from fve_pipeline.look.report.chosen import coreset_section
from fve_pipeline.look.report.contents import (
    alerts_section,
    classes_section,
    geometry_section,
    intensity_section,
    overview_section,
)
from fve_pipeline.look.report.known import KnownCases
from fve_pipeline.look.report.panels import PanelFolders
from fve_pipeline.look.report.raw import raw_histograms
from fve_pipeline.look.report.scores import scores_section
from fve_pipeline.look.report.shell import assemble
from fve_pipeline.look.report.slices import choose_runs, show_run
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.store.reader import Store

__all__ = ["make_report"]

_PICTURES = 11_000_000  # bytes of all pictures together; a page is under 20 MB with a third more for base64


def make_report(
    store: Store,
    title: str,
    progress: Progress,
    *,
    slices: int = 320,
    selection: Selection | None = None,
    scores: pa.Table | None = None,
    folders: PanelFolders | None = None,
    roots: Mapping[str, Path] | None = None,
) -> str:
    """The report as HTML. Equal stores and arguments give equal pages.

    ``slices`` are shown at most, about. With ``roots`` (folders by dataset, "" for any) one case's source a
    dataset is read for its values before windowing; with ``folders`` the worst and best scored cases are shown.
    """
    table = CaseTable.of(store.cases, store.classes)
    runs = choose_runs(store, slices)
    progress.stage("slices", len(runs), "runs")
    shown: list[dict[str, Any]] = []
    pixels: dict[tuple[str, str], list[np.ndarray[Any, np.dtype[np.uint8]]]] = {}
    for run in runs:
        described, focal = show_run(store, run, _PICTURES // len(runs))
        shown.append(described)
        pixels.setdefault((run.dataset, run.rendition), []).append(focal)
        progress.advance()
    raw = raw_histograms(store, runs, roots, progress) if roots else {}
    alerts = [*failure_alert(store.manifest.failures), *find_alerts(table)]
    sections = {
        "overview": ("What is in it", overview_section(store, table)),
        "slices": ("Slices", _viewer(store)),
        "look": ("Things to look at", alerts_section(alerts)),
        "classes": ("Classes", classes_section(store, table)),
        "intensity": ("Intensities", intensity_section(table, pixels, raw)),
        "geometry": ("Views and spacing", geometry_section(store, table)),
    }
    if selection is not None:
        sections["coreset"] = ("Coreset", coreset_section(store, selection))
    if scores is not None:
        names = {(key.dataset, key.class_id): key.name for key in table.classes}
        sections["scores"] = ("Scores", scores_section(scores, names, folders, KnownCases.of(store)))
    return assemble(title, sections, shown)


def _viewer(store: Store) -> str:
    """What the script fills."""
    settings = store.settings
    order = settings.order
    far = "" if order < 2 else " The nearest context slice is on top, farther ones are below it, coarser."
    told = (
        f"Encoded with order {order}, boundary {settings.boundary}: the focal slice with the labels' outlines, "
        f"and the slices that its two context channels hold, decoded.{far}"
        if order
        else "Order 0: the focal slice alone, no context."
    )
    return html.section(
        "slices",
        "Slices",
        html.paragraph(told),
        '<div class="viewer"><div class="controls"><label>Case <select id="run"></select></label>'
        '<button type="button" id="previous">Previous case</button>'
        '<button type="button" id="next">Next case</button></div>'
        '<label class="slider">Slice <input type="range" id="slice" min="0" value="0" step="1"></label>'
        '<output id="where" for="slice" aria-live="polite"></output>'
        '<canvas id="picture" role="img" aria-label="Slice with outlines and its context"></canvas>'
        '<div class="heads" aria-hidden="true"><span>focal slice</span><span>before</span><span>after</span></div>'
        '<fieldset id="legend"><legend>Outlines</legend></fieldset></div>'
        "<noscript><p>The slices need scripts.</p></noscript>",
    )
