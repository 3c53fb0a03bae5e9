"""Voxels of any type to uint8 on a CUDA device in one pass: the same bytes as the CPU's.

The operations and their order are those of ``cpu_rescale``, each rounded as IEEE 754 says: no product is added
to anything, so there is nothing that a compiler could fuse.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda

from fve_kernels.cpu_rescale import settle
from fve_kernels.cuda_arrays import grid, on_device, send
from fve_kernels.geometry import KernelInputError

__all__ = ["rescale"]


@cache
def _kernel(truncate: bool, dtype: np.dtype[Any]) -> Any:
    real = dtype.type

    def rounded(values: Any, bounds: Any, out: Any) -> None:
        lower, upper, low, span = bounds[0], bounds[1], bounds[2], bounds[3]
        i, step = cuda.grid(1), cuda.gridsize(1)
        while i < values.shape[0]:
            value = real(values[i])
            value = value if value > lower else lower
            value = value if value < upper else upper
            out[i] = np.int32((value - low) * real(255) / span + real(0.5))
            i += step

    def truncated(values: Any, bounds: Any, out: Any) -> None:
        lower, upper, low, span = bounds[0], bounds[1], bounds[2], bounds[3]
        i, step = cuda.grid(1), cuda.gridsize(1)
        while i < values.shape[0]:
            value = real(values[i])
            value = value if value > lower else lower
            value = value if value < upper else upper
            out[i] = np.int32((value - low) / span * real(255))
            i += step

    return cuda.jit(truncated if truncate else rounded)


def rescale(
    array: Any,
    lower: float,
    upper: float,
    low: float,
    high: float,
    *,
    truncate: bool = False,
    out: Any = None,
    stream: Any = None,
) -> Any:
    """As ``cpu_rescale.rescale``, for an array or tensor on the device, or a numpy array sent there and back.

    Device arrays must be C-contiguous, stay on the device, and are worked on in ``stream`` (see
    ``cuda.encode``) without waiting.
    """
    given = np.dtype(str(array.dtype).removeprefix("torch."))
    dtype, bounds = settle(given, (lower, upper, low, high), truncate)
    shape = tuple(int(n) for n in array.shape)
    if out is not None and (tuple(out.shape) != shape or str(out.dtype).removeprefix("torch.") != "uint8"):
        msg = f"out is {out.dtype} {tuple(out.shape)}; expected uint8 {shape}"
        raise KernelInputError(msg)
    kernel = _kernel(truncate, bounds.dtype)

    def work(source: Any, target: Any, queue: Any) -> None:
        blocks = grid(target.size)
        kernel[(*blocks, queue)](source.reshape(-1), send(bounds, queue, bounds.dtype), target.reshape(-1))

    return on_device(array, out, shape, stream, work, dtype)
