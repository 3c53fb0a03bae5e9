"""Voxels of any type to uint8 on the CPU in one pass, compiled with numba.

Nothing here makes a temporary of the volume's size: arrays that are not laid out as the kernels want them
are copied a slab of a few MB at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from fve_kernels.compiling import compile_kernel, in_threads, read_only
from fve_kernels.geometry import KernelInputError

__all__ = ["computed_as", "rescale", "settle", "slabs"]

Array = NDArray[Any]

SLAB_BYTES = 4 << 20

# What a dtype is computed as, where not as itself. Whole numbers beyond 2^53 are no voxel values.
_COMPUTED_AS = {"bool": "uint8", "float16": "float32", "int64": "float64", "uint64": "float64"}


def computed_as(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The native dtype that the kernels compute voxels of this one in."""
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        msg = f"voxels are {dtype}; expected integers or floating-point numbers"
        raise KernelInputError(msg)
    return np.dtype(_COMPUTED_AS.get(dtype.name, dtype.name))


def slabs(array: Array, dtype: np.dtype[Any]) -> Iterator[tuple[slice, Array]]:
    """The array in flat contiguous pieces along its first axis: one where the layout allows it."""
    if array.dtype == dtype and array.flags.c_contiguous:
        yield slice(None), array.reshape(-1)
        return
    step = max(1, SLAB_BYTES // max(1, array[:1].size * dtype.itemsize))
    for first in range(0, len(array), step):
        part = slice(first, first + step)
        yield part, np.ascontiguousarray(array[part], dtype=dtype).reshape(-1)


def settle(
    dtype: np.dtype[Any], bounds: tuple[float, float, float, float], truncate: bool
) -> tuple[np.dtype[Any], Array]:
    """The dtype to compute as, and (lower, upper, low, high) as the kernels take it: with its precision."""
    dtype = computed_as(dtype)
    small = dtype.itemsize <= 2 and not truncate
    settled = np.array(bounds, np.float32 if small or dtype == np.float32 else np.float64)
    settled[3] -= settled[2]
    return dtype, settled


# In both kernels ``bounds`` is [lower, upper, low, span], of the precision to compute in. The comparisons are
# written so that NaN becomes lower.


def _round(values: Array, bounds: Array, out: NDArray[np.uint8]) -> None:
    real = bounds.dtype.type
    lower, upper, low, span = bounds[0], bounds[1], bounds[2], bounds[3]
    top, half = real(255), real(0.5)
    for i in range(values.size):
        value = real(values[i])
        value = value if value > lower else lower
        value = value if value < upper else upper
        out[i] = np.int32((value - low) * top / span + half)


def _truncate(values: Array, bounds: Array, out: NDArray[np.uint8]) -> None:
    real = bounds.dtype.type
    lower, upper, low, span = bounds[0], bounds[1], bounds[2], bounds[3]
    top = real(255)
    for i in range(values.size):
        value = real(values[i])
        value = value if value > lower else lower
        value = value if value < upper else upper
        out[i] = np.int32((value - low) / span * top)


@cache
def _kernel(truncate: bool, dtype: np.dtype[Any], real: np.dtype[Any]) -> Callable[..., Any]:
    signature = numba.void(read_only(dtype), numba.from_dtype(real)[::1], numba.uint8[::1])
    return compile_kernel(_truncate if truncate else _round, signature)


def rescale(
    array: Array,
    lower: float,
    upper: float,
    low: float,
    high: float,
    *,
    truncate: bool = False,
    out: NDArray[np.uint8] | None = None,
    threads: int = 1,
) -> NDArray[np.uint8]:
    """Clip to [lower, upper] and rescale [low, high] to 0..255; lower ≤ low < high ≤ upper.

    Rounds half up, (v − low)·255 / (high − low) + ½, or truncates (v − low) / (high − low)·255: the order of
    the operations differs too. Computed in single precision where the voxels are float32 or, when rounding,
    integers of at most 16 bits (exact for whole bounds); in double precision otherwise. NaN becomes lower.
    """
    dtype, bounds = settle(array.dtype, (lower, upper, low, high), truncate)
    kernel = _kernel(truncate, dtype, bounds.dtype)
    result = np.empty(array.shape, np.uint8) if out is None else out
    if result.shape != array.shape or result.dtype != np.uint8 or not result.flags.c_contiguous:
        msg = f"out is {result.dtype} {result.shape}; expected C-contiguous uint8 {array.shape}"
        raise KernelInputError(msg)
    for part, values in slabs(array, dtype):
        in_threads(threads, lambda v, t: kernel(v, bounds, t), values, result[part].reshape(-1))
    return result
