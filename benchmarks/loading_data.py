"""Data for benchmarks/loading.py: CT-like volumes whose slices compress as real ones do, and stores of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from isal import igzip

from fve_pipeline.build.api import build_store
from fve_pipeline.demo.cohort.nifti import nifti_bytes
from fve_pipeline.demo.cohort.torso import torso
from fve_pipeline.runtime.executor import cluster

SIDE, DEPTH = 512, 96

STORES = {
    "encoded-lz4": {"storage": "encoded", "codec": "lz4"},
    "encoded-zstd": {"storage": "encoded", "codec": "zstd"},
    "encoded3-lz4": {"storage": "encoded", "codec": "lz4", "order": 3},
    "slices-lz4": {"storage": "slices", "codec": "lz4"},
    "slices-zstd": {"storage": "slices", "codec": "zstd"},
}

_CATALOG = """
name = "bench"
modality = "CT"
site = "trunk"
licence = "made"
citation = "made"
classes = [
    { id = 1, name = "liver" }, { id = 2, name = "spleen" }, { id = 3, name = "right kidney", side = "right" },
    { id = 4, name = "left kidney", side = "left" }, { id = 5, name = "aorta" }, { id = 6, name = "lungs" },
]
[layout]
images = "{case}/image.nii.gz"
labels = "{case}/labels.nii.gz"
[[renditions]]
name = "soft_tissue"
window = "soft_tissue"
"""


def make_volume(folder: Path, seed: int) -> None:
    """One volume of 96 × 512 × 512: anatomy filling 78 % of the picture, noise of 13 HU.

    PNG comes to about 6:1, and zstd to 1.2 times its bytes, as for real abdominal CT."""
    coarse, labels = torso((DEPTH, 128, 128), seed)
    rng = np.random.default_rng(seed)
    image, mask = np.empty((DEPTH, SIDE, SIDE), np.int16), np.empty((DEPTH, SIDE, SIDE), np.uint8)
    scale, shift = 4 * 0.78, SIDE * 0.11
    matrix = np.array([[scale, 0, shift], [0, scale, shift]])
    for z in range(DEPTH):
        smooth = cv2.GaussianBlur(coarse[z], (0, 0), 1.0).astype(np.float32)
        plane = cv2.warpAffine(smooth, matrix, (SIDE, SIDE), borderValue=-1000)
        image[z] = np.rint(plane + 13 * rng.standard_normal(plane.shape, dtype=np.float32))
        mask[z] = cv2.warpAffine(labels[z], matrix, (SIDE, SIDE), flags=cv2.INTER_NEAREST)
    folder.mkdir(parents=True, exist_ok=True)
    for name, volume in (("image", image), ("labels", mask)):
        data = nifti_bytes(volume, (2.5, 0.76, 0.76))
        (folder / f"{name}.nii.gz").write_bytes(igzip.compress(data, compresslevel=1, mtime=0))


def make_stores(root: Path, samples: int) -> dict[str, Path]:
    """Stores of at least ``samples`` samples under ``root``, each made once and found again."""
    cases = -(-samples // DEPTH)
    root = root / str(cases * DEPTH)
    for number in range(cases):
        if not (root / "cohort" / f"c{number:03d}" / "labels.nii.gz").exists():
            make_volume(root / "cohort" / f"c{number:03d}", number)
    (root / "bench.toml").write_text(_CATALOG)
    with cluster(workers=2) as executor:
        for name, changes in STORES.items():
            build_store(
                root / "bench.toml",
                root / "cohort",
                root / f"{name}.zarr",
                work=root / "work",
                executor=executor,
                size=SIDE,
                training_views=False,
                **changes,
            )
    return {name: root / f"{name}.zarr" for name in STORES}
