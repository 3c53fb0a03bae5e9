"""Stored numbers -> values: slope and intercept, narrow integer types, voxels that are not numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.volume.refusal import refusal

__all__ = ["apply_scale", "narrow", "replace_nonfinite", "scaled_dtype"]


def scaled_dtype(dtype: np.dtype[Any], slope: float, intercept: float) -> np.dtype[Any]:
    """Return the widest type that :func:`apply_scale` and :func:`narrow` may give, known before any voxel is."""
    if dtype.kind == "f" or not (float(slope).is_integer() and float(intercept).is_integer()):
        return np.dtype(np.float32)
    if dtype.itemsize <= 2 and slope == 1 and intercept == 0:
        return dtype.newbyteorder("=")
    if dtype == np.uint8 or (dtype.itemsize <= 2 and slope == 1):
        # 12-bit CT with an intercept of -1024 is what this is for; it fits.
        return np.dtype(np.int16)
    return np.dtype(np.int32)


def apply_scale(array: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """``array * slope + intercept``: integer where all three are, else float32 rounded once from float64.

    Works slab by slab along the first axis; changes ``array`` in place where its type allows.
    """
    if slope == 1 and intercept == 0:
        return array
    if array.dtype.kind in "iu" and float(slope).is_integer() and float(intercept).is_integer():
        # The result fits 32 bits: wrapping on the way there does no harm.
        wide = np.int32 if array.dtype.itemsize <= 2 and max(abs(slope), abs(intercept)) < 2**31 else np.int64
        ends = (
            int(array.min()) * int(slope) + int(intercept),
            int(array.max()) * int(slope) + int(intercept),
        )
        for dtype in (np.int16, np.int32):
            if np.iinfo(dtype).min <= min(ends) and max(ends) <= np.iinfo(dtype).max:
                out = np.empty(array.shape, dtype)
                for target, source in zip(out, array, strict=True):
                    target[...] = source.astype(wide) * wide(slope) + wide(intercept)
                return out
    scaled = np.empty(array.shape, np.float32)
    for target, source in zip(scaled, array, strict=True):
        target[...] = source * np.float64(slope) + np.float64(intercept)
    return scaled


def narrow(array: NDArray[Any]) -> NDArray[Any]:
    """Return integers of more than 16 bits as int16 where they fit, such as CT stored as int32.

    Else as int32 or float32; floats as float32. Smaller integers and booleans stay.
    """
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind == "f":
        return array.astype(np.float32, copy=False)
    if array.dtype.itemsize <= 2:
        return array
    low, high = int(array.min()), int(array.max())
    for dtype in (np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return array.astype(dtype, copy=False)
    return array.astype(np.float32)


def replace_nonfinite(array: NDArray[Any], value: float | None, name: str) -> tuple[NDArray[Any], str | None]:
    """Refuse NaN and infinite voxels, or replace them by ``value``; returns (array, note or None)."""
    if array.dtype.kind != "f":
        return array, None
    nan = infinite = 0
    for slab in array:
        if not np.isfinite(slab).all():
            nan += int(np.isnan(slab).sum())
            infinite += int(np.isinf(slab).sum())
            if value is not None:
                slab[~np.isfinite(slab)] = value
    if not nan and not infinite:
        return array, None
    found = f"{nan} NaN and {infinite} infinite voxels of {array.size}"
    if value is None:
        raise refusal(name, found, "finite values", "Repair the file, or name a value to replace them with")
    return array, f"{found} were replaced by {value:g}"
