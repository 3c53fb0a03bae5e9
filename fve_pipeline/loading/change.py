"""What augmentations do to slices and masks. Pure, over arrays."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fve_pipeline.loading.augment import Change
from fve_pipeline.loading.hashing import Stream, generator

__all__ = ["change_mask", "change_slices"]


def change_slices(slices: NDArray[np.uint8], change: Change) -> NDArray[np.uint8]:
    """Slices (n, S, S) uint8, all moved alike, then made brighter and noisier; values stay within 0–255.

    Gaussian noise differs from slice to slice, salt and pepper fall on the same pixels of all.
    """
    moved = np.stack([_move(plane, change, cv2.INTER_LINEAR) for plane in slices])
    if not (change.brightness or change.noise or change.pepper):
        return moved
    values = moved.astype(np.float32)
    values += change.brightness
    random = generator(Stream.NOISE, *change.key)
    if change.noise:
        values += change.noise * random.standard_normal(values.shape, dtype=np.float32)
    if change.pepper:
        where = random.random(values.shape[1:], dtype=np.float32)
        values[:, where < change.pepper / 2] = 0
        values[:, where > 1 - change.pepper / 2] = 255
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def change_mask(mask: NDArray[Any], change: Change) -> NDArray[Any]:
    """Return a mask (S, S), moved as the slices are; ids are picked, never mixed."""
    return _move(mask, change, cv2.INTER_NEAREST)


def _move(plane: NDArray[Any], change: Change, interpolation: int) -> NDArray[Any]:
    plane = np.ascontiguousarray(np.rot90(plane, change.turns))
    if change.flip is not None:
        plane = cv2.flip(plane, change.flip)
    if change.crop is None:
        return plane
    side, crop = len(plane), change.crop
    # From pixel centres of the result to those of the plane.
    start = (1 - crop.scale) * (side - 1) / 2
    matrix = np.array(
        [[crop.scale, 0, start + crop.right * side], [0, crop.scale, start + crop.down * side]], np.float64
    )
    flags = interpolation | cv2.WARP_INVERSE_MAP
    moved: NDArray[Any] = cv2.warpAffine(plane, matrix, (side, side), flags=flags, borderValue=0)
    return moved
