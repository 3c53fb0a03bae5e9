"""A CT case of full size, made fast, for benchmarks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from isal import igzip

from fve_pipeline.demo.cohort.nifti import nifti_bytes
from fve_pipeline.demo.cohort.torso import torso

__all__ = ["make_ct_benchmark_case"]


def make_ct_benchmark_case(
    folder: Path, shape: tuple[int, int, int] = (100, 512, 512), seed: int = 0, *, noise: bool = False
) -> None:
    """Write ``image.nii.gz`` (HU, int16) and ``labels.nii.gz`` of ``shape`` (z, y, x) into ``folder``.

    Anatomy at a quarter of the resolution, enlarged, under noise at full resolution, so that the file
    compresses about as a real CT does and is made in a second or two. With ``noise`` each voxel has its own, air
    included, as a scanner gives it: such files compress less.
    """
    depth, height, width = shape
    coarse, labels = torso((depth, height // 4, width // 4), seed)
    rng = np.random.default_rng(seed)
    # One noise image, shifted from slice to slice: drawing it anew would cost more than all else.
    same = (rng.standard_normal((height, width), dtype=np.float32) * 11).astype(np.int16)
    hu = np.empty(shape, np.int16)
    big = np.empty(shape, np.uint8)
    for z in range(depth):
        plane = cv2.resize(coarse[z], (width, height), interpolation=cv2.INTER_LINEAR)
        shift = tuple(int(n) for n in rng.integers(0, (height, width)))
        inside = plane > -960
        hu[z] = np.where(inside, plane + np.roll(same, shift, (0, 1)), -1024 + (plane & 7))
        if noise:
            drawn = rng.standard_normal((height, width), dtype=np.float32) * 18
            hu[z] = np.maximum(plane + drawn.astype(np.int16), -1024)
        cv2.resize(labels[z], (width, height), dst=big[z], interpolation=cv2.INTER_NEAREST_EXACT)
    spacing = (2.5, 390 / height, 390 / width)
    folder.mkdir(parents=True, exist_ok=True)
    for name, volume in (("image", hu), ("labels", big)):
        data = nifti_bytes(volume, spacing, (-195.0, -195.0, 0.0), "RAS")
        (folder / f"{name}.nii.gz").write_bytes(igzip.compress(data, compresslevel=1, mtime=0))
