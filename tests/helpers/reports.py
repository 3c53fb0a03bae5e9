"""A made dataset whose cases have sentences, each with a mask, beside two classes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import tiny
from inline import InlineExecutor
from numpy.typing import NDArray

from fve_pipeline.build.cases import Dataset
from fve_pipeline.catalog.load import parse_catalog

SHAPE = (4, 14, 12)
CATALOG = """
name = "reports"
modality = "CT"
licence = "made here"
citation = "made here"
classes = [{ id = 1, name = "lung" }, { id = 2, name = "heart" }]
[layout]
images = "{case}_ct.nii.gz"
labels = "{case}_seg.nii.gz"
[findings]
table = "findings.csv"
mask = "mask"
complete = true
[[renditions]]
name = "soft_tissue"
window = "soft_tissue"
[[renditions]]
name = "lung"
window = "lung"
classes = [1]
"""
SETTINGS = {"size": 16, "shard_samples": 12, "views_rule": "axial", "mask_dtype": "uint16", "overlaps": True}

Truth = dict[str, list[NDArray[np.bool_]]]


def write_cohort(root: Path, cases: range) -> Truth:
    root.mkdir(exist_ok=True)
    truth: Truth = {}
    rows = []
    for number in cases:
        rng = np.random.default_rng(number)
        tiny.write_nifti(root / f"c{number}_ct.nii.gz", rng.integers(-200, 200, SHAPE, dtype=np.int16))
        labels = rng.integers(0, 3, SHAPE).astype(np.uint8)
        tiny.write_nifti(root / f"c{number}_seg.nii.gz", labels)
        masks = [labels == 1, labels == 2, *(rng.random(SHAPE) < 0.2 for _ in range(number % 3))]
        for place, mask in enumerate(masks[2:]):
            name = f"c{number}_finding{place}.nii.gz"
            tiny.write_nifti(root / name, mask.astype(np.uint8))
            rows.append(
                {
                    "case": f"c{number}",
                    "text": f"Nodule {place} of the left lung, {number + 4} mm",
                    "mask": name,
                }
            )
        truth[f"reports/c{number}"] = masks
    with (root / "findings.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["case", "text", "mask"])
        writer.writeheader()
        writer.writerows(rows)
    return truth


def build(root: Path, out: Path, text: str = CATALOG, **options: object) -> Path:
    settings = tiny.settings(**SETTINGS | {"storage": "slices"} | options)
    summary = tiny.build(
        [Dataset(parse_catalog(text, "r.toml"), root)], out, InlineExecutor(), settings=settings
    )
    assert not summary.failures, summary.failures
    return out
