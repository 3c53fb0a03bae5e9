"""The demo: a made cohort in real formats, built, verified and shown through everyone's code path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fve_pipeline.build.cases import Dataset
from fve_pipeline.build.pipeline import build
from fve_pipeline.build.request import BuildRequest, BuildSummary
from fve_pipeline.build.settings import settings_for
from fve_pipeline.catalog import load_catalog
from fve_pipeline.demo.cohort import make_cohort
from fve_pipeline.look.store_sheet import write_sheet
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.verify import Finding, verify

__all__ = ["DEMO_CATALOGS", "DemoResult", "run_demo"]

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
    write_sheet(opened, sheet)
    return DemoResult(cohort, store, sheet, summary, findings)
