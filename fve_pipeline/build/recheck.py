"""Samples of a committed store made again from their sources, and compared."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fve_pipeline.build.again import prepare_again
from fve_pipeline.build.encode.plan import Segment
from fve_pipeline.build.encode.shard import segment_samples
from fve_pipeline.errors import BuildError
from fve_pipeline.files.open import open_files
from fve_pipeline.imaging.views import VIEWS
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.reader import Store

__all__ = ["SourceMismatch", "check_against_sources"]


@dataclass(frozen=True, slots=True)
class SourceMismatch:
    """A sample that its source no longer gives, or gives differently."""

    row: int
    case: str
    problem: str


def check_against_sources(
    store: Store,
    roots: Mapping[str, Path],
    resources: Resources,
    *,
    samples: int,
    seed: int,
) -> list[SourceMismatch]:
    """Recompute ``samples`` random rows from their sources and compare pixels and masks.

    Cases are prepared in a temporary folder, one after another where they are many.
    """
    rows = np.sort(np.random.default_rng(seed).choice(len(store), min(samples, len(store)), replace=False))
    index = store.index.select(["case", "rendition", "view", "slice"]).take(rows).to_pylist()
    mismatches: list[SourceMismatch] = []
    with tempfile.TemporaryDirectory(prefix="fve-verify-") as folder:
        work = Path(folder)
        needed = list(dict.fromkeys(row["case"] for row in index))
        try:
            cases = prepare_again(store, needed, roots, work, resources)
        except BuildError as error:
            return [SourceMismatch(-1, "", str(error))]
        for number, row in zip(rows, index, strict=True):
            case = cases[row["case"]]
            length = case.shape[VIEWS.index(row["view"])]
            segment = Segment(
                row["case"], row["rendition"], row["view"], length, row["slice"], row["slice"] + 1
            )
            ((image, _, mask),) = segment_samples(
                open_files(work / "prepared"), store.settings, segment, case
            )
            stored_image, stored_mask = store.sample(int(number))
            for name, made, stored in (("image", image, stored_image), ("mask", mask, stored_mask)):
                if not np.array_equal(made, stored):
                    differing = int(np.count_nonzero(made != stored))
                    problem = f"the {name} made from the source differs in {differing:,} values"
                    mismatches.append(SourceMismatch(int(number), row["case"], problem))
    return mismatches
