"""Tiny datasets in real formats, for tests of the build: seconds matter more than looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from fve_pipeline import build_store
from fve_pipeline.build.cases import Dataset
from fve_pipeline.build.request import BuildSummary
from fve_pipeline.build.settings import store_settings
from fve_pipeline.catalog import load_catalog
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.store.schema import StoreSettings

SIZE = 32

CATALOG = """\
name = "tiny"
modality = "CT"
site = "trunk"
licence = "made here"
citation = "made here"
classes = [
    { id = 1, name = "box" },
    { id = 2, name = "left ball", side = "left" },
    { id = 9, name = "both", ids = [1, 2] },
]
[layout]
images = "{case}_ct.nii.gz"
labels = "{case}_seg.nii.gz"
[[renditions]]
name = "soft_tissue"
window = "soft_tissue"
[[renditions]]
name = "lung"
window = "lung"
classes = [2]
"""


def volume(seed: int, shape: tuple[int, int, int] = (6, 24, 20)) -> tuple[np.ndarray, np.ndarray]:
    """CT-like int16 (z,y,x) and its labels uint8: a box (1) and a ball (2) in noise."""
    rng = np.random.default_rng(seed)
    image = rng.normal(-50, 20, shape)
    z, y, x = np.indices(shape)
    box = (abs(y - 8) < 4) & (abs(x - 6) < 3) & (z > 1)
    ball = (z - shape[0] / 2) ** 2 + (y - 16 + seed % 3) ** 2 + (x - 13) ** 2 < 16
    image[box] += 150
    image[ball] += 300
    labels = np.where(ball, 2, np.where(box, 1, 0))
    return image.astype(np.int16), labels.astype(np.uint8)


def write_nifti(path: Path, array: np.ndarray, spacing: tuple[float, float, float] = (2.0, 1.0, 1.0)) -> None:
    """A (z,y,x) LPS array as NIfTI, which is RAS and (x,y,z)."""
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array.transpose(2, 1, 0), affine), path)


def write_case(root: Path, name: str, seed: int, shape: tuple[int, int, int] = (6, 24, 20)) -> None:
    image, labels = volume(seed, shape)
    write_nifti(root / f"{name}_ct.nii.gz", image)
    write_nifti(root / f"{name}_seg.nii.gz", labels)


def write_cohort(root: Path, cases: int) -> Path:
    """``cases`` cases and their catalog, tiny.toml; returns the root."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "tiny.toml").write_text(CATALOG)
    for number in range(cases):
        write_case(root, f"c{number:02d}", number, (5 + number % 3, 24, 20))
    return root


def datasets(root: Path) -> list[Dataset]:
    return [Dataset(load_catalog(str(root / "tiny.toml")), root)]


def settings(**changes: Any) -> StoreSettings:
    """Of a store of small slices in short shards."""
    return store_settings(**{"size": SIZE, "shard_samples": 8, **changes})


def build(
    datasets: Sequence[Dataset],
    out: str | Path,
    executor: Executor,
    *,
    settings: StoreSettings = settings(),
    **options: Any,
) -> BuildSummary:
    """Build a store of ``datasets``; ``options`` are those of ``fve_pipeline.build_store``."""
    catalogs = [dataset.catalog for dataset in datasets]
    roots = {dataset.catalog.name: dataset.root for dataset in datasets}
    return build_store(catalogs, roots, out, settings=settings, executor=executor, **options)


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
