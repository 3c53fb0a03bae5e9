"""The demo: a made cohort in real formats, built, verified and shown through everyone's code path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fve_pipeline.build.cases import Dataset
from fve_pipeline.build.pipeline import build
from fve_pipeline.build.request import BuildRequest, BuildSummary
from fve_pipeline.build.settings import settings_for
from fve_pipeline.catalog import load_catalog
from fve_pipeline.demo.cohort import make_cohort
from fve_pipeline.look.contact_sheet import draw_sheet, write_png
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.verify import Finding, verify

__all__ = ["DEMO_CATALOGS", "DemoResult", "run_demo", "show_store"]

DEMO_CATALOGS = ("demo_ct", "demo_ct_dicom", "demo_mr", "demo_npz", "demo_microscopy")
_SIZE = 256


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Where the demo's parts are and what verification found."""

    cohort: Path
    store: Path
    sheet: Path
    summary: BuildSummary
    findings: list[Finding]


def run_demo(out: Path, resources: Resources) -> DemoResult:
    """Make the cohort in ``out/cohort``, build ``out/slices.zarr``, verify it in depth, draw a contact sheet."""
    cohort, progress = out / "cohort", resources.progress
    progress.stage("make the cohort", 1, "cohorts")
    make_cohort(cohort)
    progress.advance()
    datasets = [Dataset(load_catalog(name), cohort.absolute()) for name in DEMO_CATALOGS]
    store = out / "slices.zarr"
    request = BuildRequest(
        datasets=datasets,
        work=(out / "slices.work").absolute(),
        settings=settings_for(datasets, size=_SIZE, val_fraction=0.25),
        out=str(store),
    )
    summary = build(request, resources)
    opened = open_store(store)
    progress.stage("verify", len(opened.manifest.shards), "shards")
    findings = verify(opened, deep=True, progress=lambda *_: progress.advance())
    sheet = out / "contact_sheet.png"
    show_store(opened, sheet)
    return DemoResult(cohort, store, sheet, summary, findings)


def show_store(store: Store, path: Path, rows_per_run: int = 4) -> None:
    """Write a contact sheet: for each dataset and rendition, slices with most labelled pixels of one case."""
    index = store.index
    keys = zip(*(index.column(name).to_pylist() for name in ("dataset", "rendition")), strict=True)
    labelled = np.array([sum(pixels or []) for pixels in index.column("class_pixels").to_pylist()])
    groups: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    picked = []
    for (dataset, rendition), rows in groups.items():
        ranked = sorted((row for row in rows if labelled[row]), key=lambda row: -labelled[row])
        # Spread over the labelled slices, so that neighbours do not fill the sheet.
        for row in ranked[:: max(1, len(ranked) // rows_per_run)][:rows_per_run]:
            picked.append((row, f"{dataset} {rendition} {index.column('slice')[row].as_py()}"))
    images, masks = zip(*(store.sample(row) for row, _ in picked), strict=True)
    write_png(path, draw_sheet(images, masks, [caption for _, caption in picked], columns=rows_per_run))
