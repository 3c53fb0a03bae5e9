"""Fluorescent nuclei, drawn: touching instances in camera counts."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fve_pipeline.demo.cohort.fields import smooth_noise

__all__ = ["cells"]


def cells(
    shape: tuple[int, int, int], count: int, seed: int
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """A volume (z, y, x) of nuclei in camera counts and their instance map, both uint16.

    ``count`` nuclei are placed one a cell of a jittered lattice, so that all of them are there, some touch,
    and ids run from 1 to ``count`` with none missing. Voxels are cubes here: scaling is the writer's.
    """
    rng = np.random.default_rng(seed)
    extent = np.array(shape, float)
    pitch = (extent.prod() / count) ** (1 / 3)
    lattice = np.maximum(np.rint(extent / pitch), 1).astype(int)
    while lattice.prod() < count:
        lattice[np.argmax(extent / lattice)] += 1
    sites = np.sort(rng.permutation(lattice.prod())[:count])
    step = extent / lattice
    centres = (np.stack(np.unravel_index(sites, tuple(lattice)), axis=1) + 0.5) * step
    centres += rng.uniform(-0.38, 0.38, centres.shape) * step
    radii = rng.uniform(0.42, 0.66, count) * step.min()
    # A voxel belongs to the nearest centre, if it lies within that one's radius: walls between are flat.
    voxels = np.indices(shape, dtype=np.float32).reshape(3, -1).T + 0.5
    distance, nearest = cKDTree(centres).query(voxels, distance_upper_bound=float(radii.max()))
    nearest = np.minimum(nearest, count - 1)
    relative = distance / radii[nearest]
    labels = np.where(relative < 1, nearest + 1, 0).astype(np.uint16).reshape(shape)
    light = rng.uniform(900, 2600, count)[nearest] * np.clip(1.15 - 0.5 * relative**2, 0, None)
    texture = 1 + 0.25 * smooth_noise(shape, 20, rng)
    signal = np.where(labels > 0, light.reshape(shape) * texture, 0).astype(np.float32)
    blurred = np.stack([cv2.GaussianBlur(plane, (0, 0), 0.8) for plane in signal])
    return rng.poisson(np.maximum(blurred, 0) + 110).astype(np.uint16), labels
