"""What the sources of a few cases hold before windowing: read again from the raw files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fve_pipeline.build.prepare.case import read_rendition
from fve_pipeline.build.prepare.job import job_from_recipe
from fve_pipeline.errors import FveError
from fve_pipeline.look.report.slices import ShownRun
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.store.reader import Store

__all__ = ["RawHistogram", "raw_histograms"]

RawHistogram = tuple[np.ndarray[Any, np.dtype[np.int64]], float, float]
_BINS = 64


def raw_histograms(
    store: Store, runs: Iterable[ShownRun], roots: Mapping[str, Path], progress: Progress
) -> dict[tuple[str, str], RawHistogram]:
    """(counts, lowest, highest) of the source values by (dataset, rendition), of one shown case each.

    ``roots`` gives each dataset's folder, "" any. The ends are the 0.05 and 99.95 percentiles, so that a stray
    voxel does not squeeze the rest. A source that cannot be read is noted and has none.
    """
    recipes = dict(zip(*(store.cases.column(n).to_pylist() for n in ("case", "recipe")), strict=True))
    first: dict[tuple[str, str], ShownRun] = {}
    for run in runs:
        if run.dataset in roots or "" in roots:
            first.setdefault((run.dataset, run.rendition), run)
    progress.stage("read sources", len(first), "cases")
    out = {}
    for (dataset, rendition), run in first.items():
        root = roots.get(dataset, roots.get("", Path()))
        job = job_from_recipe(recipes[run.case], root, Path())
        shown = next(found for found in job.case.renditions if found.name == rendition)
        progress.advance()
        try:
            values = read_rendition(job, shown).array
        except FveError as error:
            progress.note(f"{run.case}: no histogram of its values: {error}")
            continue
        sample = values.ravel()[:: max(1, values.size // 2_000_000)]
        low, high = (float(v) for v in np.percentile(sample, [0.05, 99.95]))
        counts, _ = np.histogram(sample, _BINS, (low, high if high > low else low + 1))
        out[dataset, rendition] = (counts, low, high)
    return out
