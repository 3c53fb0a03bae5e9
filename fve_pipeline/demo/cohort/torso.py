"""An abdominal CT, drawn: the organs where they belong, in HU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.demo.cohort.fields import Field, Grid, ellipsoid, grid, smooth_noise

__all__ = ["TORSO_CLASSES", "torso"]

TORSO_CLASSES = {1: "liver", 2: "spleen", 3: "right kidney", 4: "left kidney", 5: "aorta", 6: "lungs"}

_LIVER, _SPLEEN, _RIGHT_KIDNEY, _LEFT_KIDNEY, _AORTA, _LUNGS = TORSO_CLASSES


def torso(shape: tuple[int, int, int], seed: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """A phantom (z, y, x) in HU, int16, with its label map, uint8, both in LPS.

    z runs from the pelvis up to the chest, y from front to back, x from the patient's right to left, so that
    the liver lies at small x. The ids are ``TORSO_CLASSES``. Sizes and places vary with ``seed``.
    """
    rng = np.random.default_rng(seed)
    at = grid(shape, warp=0.03, rng=rng)
    texture = smooth_noise(shape, 24, rng)
    hu, inside = _trunk(at, texture, rng)
    labels = np.zeros(shape, np.uint8)
    for class_id, where, value in _organs(at, texture, rng):
        where &= inside
        labels[where] = class_id
        hu[where] = np.broadcast_to(value, shape)[where]
    _skeleton(at, hu, labels, inside)
    noise = rng.standard_normal(shape, dtype=np.float32)
    hu += np.where(inside, 14, 6) * noise
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16), labels


def _trunk(at: Grid, texture: Field, rng: np.random.Generator) -> tuple[Field, NDArray[np.bool_]]:
    """Air, the skin's fat, the muscle wall, fat and bowel within; and what lies inside the body."""
    z, y, x = at
    height, width, wall = rng.uniform(0.6, 0.7), rng.uniform(0.86, 0.94), rng.uniform(0.76, 0.84)
    radius = np.sqrt((y / height) ** 2 + (x / width) ** 2) + 0.04 * z
    bowel = np.where(texture > 0.35, 35, -95)
    hu = np.select([radius > 1, radius > wall + 0.08, radius > wall - 0.06], [-1000, -105, 55], bowel)
    gas = (texture > 1.7) & (radius < 0.5) & (y < 0)
    hu = np.where(gas, -850, hu).astype(np.float32)
    table = (np.abs(y - 0.78) < 0.02) & (np.abs(x) < 0.6)
    hu[np.broadcast_to(table, hu.shape) & (radius > 1)] = -300
    return hu, radius <= wall - 0.02


def _organs(
    at: Grid, texture: Field, rng: np.random.Generator
) -> list[tuple[int, NDArray[np.bool_], Field | float]]:
    z, y, x = at
    s = rng.uniform(0.9, 1.1, size=12)
    dome = rng.uniform(-0.05, 0.05)

    def lung(side: float) -> Field:
        return ellipsoid(at, (1.1 + dome, 0.02, side), (0.62 * s[0], 0.46 * s[1], 0.33 * s[2]))

    lungs = np.minimum(lung(-0.42), lung(0.42))
    vessels = np.where(texture > 1.1, 40, -860 + 20 * texture)
    heart = ellipsoid(at, (1.0, -0.12, 0.1), (0.5, 0.3, 0.28 * s[3])) < 1
    liver = np.minimum(
        ellipsoid(at, (0.3, -0.04, -0.4), (0.48 * s[4], 0.42 * s[5], 0.36)),
        ellipsoid(at, (0.36, -0.25, -0.05), (0.22 * s[4], 0.2, 0.4 * s[6])),
    )
    spleen = ellipsoid(at, (0.34, 0.2, 0.55), (0.3 * s[7], 0.26, 0.17 * s[8]))
    organs: list[tuple[int, NDArray[np.bool_], Field | float]] = [
        (0, heart, 45.0),
        (_LIVER, liver < 1, 62 + 6 * texture),
        (_SPLEEN, spleen < 1, 48 + 4 * texture),
        (_LUNGS, (lungs < 1) & ~heart, vessels.astype(np.float32)),
    ]
    for class_id, side, low in ((_RIGHT_KIDNEY, -0.36, -0.2), (_LEFT_KIDNEY, 0.4, -0.12)):
        # The pelvis of each kidney opens towards the spine.
        kidney = ellipsoid(at, (low, 0.26, side), (0.34 * s[9], 0.17, 0.14 * s[10]))
        sinus = ellipsoid(at, (low, 0.24, side * 0.8), (0.16, 0.09, 0.07)) < 1
        organs.append((class_id, (kidney < 1) & ~sinus, np.where(kidney > 0.45, 42, 30).astype(np.float32)))
    bend = 0.06 + 0.03 * np.sin(3 * z)
    aorta = ((y - 0.24) / 0.085) ** 2 + ((x - bend) / (0.065 * s[11])) ** 2
    organs.append((_AORTA, np.broadcast_to(aorta < 1, texture.shape).copy(), 150.0))
    return organs


def _skeleton(at: Grid, hu: Field, labels: NDArray[np.uint8], inside: NDArray[np.bool_]) -> None:
    """Vertebrae with their canal, discs between them, and ribs around; over everything else."""
    z, y, x = at
    body = ((y - 0.42) / 0.13) ** 2 + (x / 0.13) ** 2
    arch = ((y - 0.57) / 0.1) ** 2 + (x / 0.16) ** 2
    canal = ((y - 0.56) / 0.045) ** 2 + (x / 0.06) ** 2
    disc = np.cos(26 * z) > 0.8
    shell = np.sqrt((y / 0.5) ** 2 + (x / 0.72) ** 2)
    ribs = (np.abs(shell - 1) < 0.045) & (np.sin(24 * (z - 0.35 * y)) > 0.55) & (z > 0.1) & inside
    for where, value in (
        (ribs, 480),
        ((body < 1) & disc, 75),
        ((body < 1) & ~disc, 190 + 420 * (body > 0.7)),
        (arch < 1, 380),
        (canal < 1, 30),
    ):
        voxels = np.broadcast_to(where, hu.shape)
        hu[voxels] = np.broadcast_to(value, hu.shape)[voxels]
        labels[voxels] = 0
