"""The fair ground: made subjects whose organs look alike in a slice, and differ by how far they reach above and below.

A volume has 40 slices of 64². Plates (1 slice), short rods (5) and long rods (15) are discs of one size and brightness: a
slice alone does not tell them apart, its neighbours at distance 1 tell a plate, those up to 4 a short rod. A ring and a
block, which any slice tells, are in 4 slices each. So a slice lacks most classes, and faint blots everywhere look like
something.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.demo.cohort.nifti import write_nifti

__all__ = ["CLASSES", "make_cohort", "make_subject"]

SIZE, DEPTH = 64, 40
CLASSES = ("plate", "short rod", "long rod", "ring", "block")
_LENGTHS, _COUNTS = (1, 5, 15, 4, 4), (4, 2, 1, 1, 1)
_CATALOG = """\
name = "{name}"
modality = "MR"
site = "abdomen"
scaled = true
licence = "Apache-2.0"
citation = "Made by benchmarks/evidence_cohort.py; not of any patient."
classes = [{classes}]
[layout]
images = "{{case}}/image.nii.gz"
labels = "{{case}}/labels.nii.gz"
"""


def make_cohort(folder: Path, name: str, subjects: range) -> Path:
    """Write the subjects with these numbers and return their catalog. In "shapes" all discs are one class."""
    flat = name == "shapes"
    for number in subjects:
        case = folder / f"subject_{number:03d}"
        case.mkdir(parents=True, exist_ok=True)
        volume, labels = make_subject(number)
        if flat:
            labels = np.where(labels > 3, labels - 2, labels > 0).astype(np.uint8)
        write_nifti(case / "image.nii.gz", volume, (4.0, 1.0, 1.0))
        write_nifti(case / "labels.nii.gz", labels, (4.0, 1.0, 1.0))
    classes = ("disc", *CLASSES[3:]) if flat else CLASSES
    rows = ", ".join(f'{{ id = {i}, name = "{one}" }}' for i, one in enumerate(classes, 1))
    catalog = folder / f"{name}.toml"
    catalog.write_text(_CATALOG.format(name=name, classes=rows))
    return catalog


def make_subject(number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return volume and labels (z,y,x), class i + 1 being ``CLASSES[i]``; a function of the number alone."""
    rng = np.random.default_rng([24, number])
    volume = 100 + rng.normal(0, 15, (DEPTH, SIZE // 8, SIZE // 8)).repeat(8, 1).repeat(8, 2)
    volume += rng.normal(0, 8, (DEPTH, SIZE, SIZE))
    labels = np.zeros((DEPTH, SIZE, SIZE), np.uint8)
    for z in range(DEPTH):
        volume[z][_shape(rng, 0, rng.uniform(4, 8))] += 30
    taken = np.zeros((DEPTH, SIZE, SIZE), bool)
    for kind in (2, 1, 3, 4, 0):
        for _ in range(_COUNTS[kind]):
            start = int(rng.integers(0, DEPTH - _LENGTHS[kind] + 1))
            span = slice(start, start + _LENGTHS[kind])
            near = slice(max(0, start - 5), span.stop + 5)
            while (inside := _shape(rng, kind, 6.0))[taken[near].any(0)].any():
                pass
            taken[near] |= inside
            volume[span, inside] = 190
            labels[span, inside] = kind + 1
    return (volume + rng.normal(0, 4, volume.shape)).clip(0, 255).astype(np.uint8), labels


def _shape(rng: np.random.Generator, kind: int, radius: float) -> NDArray[np.bool_]:
    """A disc, ring or block (y,x) at a random place."""
    y, x = np.mgrid[:SIZE, :SIZE] - rng.uniform(radius + 2, SIZE - radius - 2, (2, 1, 1))
    away = np.maximum(abs(y), abs(x)) if kind == 4 else np.hypot(y, x)
    inside: NDArray[np.bool_] = away <= radius
    return inside & (away >= radius - 3) if kind == 3 else inside
