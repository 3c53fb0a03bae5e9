"""A prostate MR with a lesion, drawn, as the challenge ships its cases: uint8, 0–255."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.demo.cohort.fields import ellipsoid, grid, smooth_noise

__all__ = ["PELVIS_CLASSES", "pelvis"]

PELVIS_CLASSES = {1: "prostate", 2: "lesion"}


def pelvis(shape: tuple[int, int, int], seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A phantom (z, y, x) uint8 in 0–255 with its label map, uint8, both in LPS.

    1 is the prostate without its lesion, 2 the lesion.
    """
    rng = np.random.default_rng(seed)
    at = grid(shape, warp=0.05, rng=rng)
    s = rng.uniform(0.85, 1.15, size=4)
    image = 70 + 22 * smooth_noise(shape, 14, rng)
    image[np.abs(ellipsoid(at, (0.7, -0.45, 0), (0.55, 0.4, 0.55))) < 1] = 215  # the bladder, above
    image[ellipsoid(at, (-0.1, 0.75, 0.02), (1.4, 0.26, 0.3)) < 1] = 30  # the rectum, behind
    gland = ellipsoid(at, (-0.15, 0.0, 0.0), (0.58 * s[0], 0.42 * s[1], 0.5 * s[2]))
    centre = ellipsoid(at, (-0.1, -0.1, 0.0), (0.42 * s[0], 0.26, 0.34 * s[2]))
    zones = np.where(centre < 1, 110 + 25 * smooth_noise(shape, 16, rng), 170)
    image = np.where(gland < 1, zones, image)
    where = (rng.uniform(-0.35, 0.05), 0.25 * s[1], rng.choice((-1, 1)) * rng.uniform(0.12, 0.28))
    lesion = (ellipsoid(at, where, (0.2 * s[3], 0.14, 0.16)) < 1) & (gland < 1)
    image = np.where(lesion, 78, image) + 6 * rng.standard_normal(shape, dtype=np.float32)
    labels = (gland < 1).astype(np.uint8)
    labels[lesion] = 2
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), labels
