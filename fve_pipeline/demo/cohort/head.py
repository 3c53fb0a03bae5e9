"""A brain MR with a lesion, drawn: T2-like grey values in arbitrary units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.demo.cohort.fields import ellipsoid, grid, smooth_noise

__all__ = ["HEAD_CLASSES", "head"]

HEAD_CLASSES = {1: "brain", 2: "lesion"}


def head(shape: tuple[int, int, int], seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A phantom (z, y, x) float32, zero or above, with its label map, uint8, both in LPS.

    1 is the brain without its lesion, 2 the lesion; their union is the whole brain. A smooth bias field, as
    a surface coil leaves it, and Rician noise lie over the image.
    """
    rng = np.random.default_rng(seed)
    at = grid(shape, warp=0.03, rng=rng)
    s = rng.uniform(0.92, 1.05, size=3)
    skull = np.sqrt(ellipsoid(at, (-0.05, 0, 0), (0.9 * s[0], 0.88 * s[1], 0.74 * s[2])))
    folds = smooth_noise(shape, 22, rng)
    brain = skull < 0.8
    depth = skull + 0.05 * folds
    image = np.select(
        [skull > 1, skull > 0.93, skull > 0.86, depth > 0.8, depth > 0.68], [0, 420, 60, 900, 560], 380
    ).astype(np.float32)
    for side in (-0.1, 0.1):
        image[ellipsoid(at, (0.05, -0.02, side), (0.2, 0.34 * s[0], 0.07 * s[2])) < 1] = 950
    centre = rng.uniform((-0.1, -0.35, 0.2), (0.3, 0.35, 0.38)) * (1, 1, rng.choice((-1, 1)))
    radius = rng.uniform(0.14, 0.24) * np.array((1.0, 1.0, 1.1))
    lesion = ellipsoid(at, centre, radius) + 0.25 * folds
    inside = (lesion < 1) & brain
    image[inside] = np.where(lesion < 0.3, 620, 1050)[inside]
    labels = brain.astype(np.uint8)
    labels[inside] = 2
    image *= 1 + 0.12 * smooth_noise(shape, 3, rng)
    real, other = (20 * rng.standard_normal(shape, dtype=np.float32) for _ in range(2))
    return np.hypot(image + real, other).astype(np.float32), labels
