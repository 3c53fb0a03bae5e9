"""What augmentations do to slices and masks. Pure, over arrays."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fve_kernels.cpu_disturb import disturb
from fve_kernels.cpu_rows import interpolate_rows
from fve_pipeline.loading.augment import Change, Crop
from fve_pipeline.loading.hashing import Stream, mix

__all__ = ["change_mask", "change_slices"]


def change_slices(slices: NDArray[np.uint8], change: Change) -> NDArray[np.uint8]:
    """Slices (n, S, S) uint8, all moved alike, then made brighter and noisier; values stay within 0–255.

    Gaussian noise differs from slice to slice, salt and pepper fall on the same pixels of all.
    """
    moved = np.empty(slices.shape, np.uint8)
    for plane, target in zip(slices, moved, strict=True):
        turned = _turn(plane, change)
        if change.crop is None:
            np.copyto(target, turned)
        else:
            _crop(turned, change.crop, target)
    if change.brightness or change.noise or change.pepper:
        keys = mix(Stream.NOISE, *change.key, np.arange(1 + len(moved)))
        disturb(moved, change.brightness, change.noise, change.pepper, keys)
    return moved


def change_mask(mask: NDArray[Any], change: Change) -> NDArray[Any]:
    """Return a mask (S, S), moved as the slices are; ids are picked, never mixed."""
    turned = _turn(mask, change)
    if change.crop is None:
        return turned
    rows, columns = (np.floor(found + 0.5).astype(np.intp) for found in _sources(change.crop, len(turned)))
    moved: NDArray[Any] = cv2.transpose(_picked(cv2.transpose(_picked(turned, rows)), columns))
    return moved


def _turn(plane: NDArray[Any], change: Change) -> NDArray[Any]:
    plane = np.ascontiguousarray(plane)
    if change.turns:
        plane = cv2.rotate(plane, _TURNS[change.turns])
    return plane if change.flip is None else cv2.flip(plane, change.flip)


_TURNS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


def _sources(crop: Crop, side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the rows and the columns of a crop lie in the plane, from pixel centre to pixel centre."""
    places = (1 - crop.scale) * (side - 1) / 2 + crop.scale * np.arange(side, dtype=np.float64)
    return places + crop.down * side, places + crop.right * side


def _crop(plane: NDArray[np.uint8], crop: Crop, out: NDArray[np.uint8]) -> None:
    """Interpolate linearly, 0 outside the plane. Columns are rows of the transposed plane: whole rows are fast."""
    rows, columns = _sources(crop, len(plane))
    between = cv2.transpose(interpolate_rows(plane, rows))
    cv2.transpose(interpolate_rows(between, columns), out)


def _picked(plane: NDArray[Any], rows: NDArray[np.intp]) -> NDArray[Any]:
    """Return these rows of a plane, 0 for those that it does not have."""
    found: NDArray[Any] = np.take(plane, rows, axis=0, mode="clip")
    found[(rows < 0) | (rows >= len(plane))] = 0
    return found
