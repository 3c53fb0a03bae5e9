"""Arrays on a CUDA device: torch tensors and whatever else has ``__cuda_array_interface__``, without a copy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
from numba import config, cuda
from numpy.typing import NDArray

from fve_kernels.geometry import KernelInputError

__all__ = ["address", "device_count", "grid", "is_available", "is_on_device", "on_device", "send"]

THREADS, WARP = 256, 32


def is_available() -> bool:
    """Whether there is a device, or numba's simulator of one."""
    return bool(cuda.is_available())


def device_count() -> int:
    """How many devices there are; the simulator has one."""
    return len(cuda.gpus)


def is_on_device(array: Any) -> bool:
    """Whether this array or tensor lies in a device's memory."""
    return hasattr(array, "__cuda_array_interface__") or bool(getattr(array, "__cuda_ndarray__", False))


def on_device(
    array: Any,
    out: Any,
    shape: tuple[int, ...],
    stream: Any,
    work: Callable[[Any, Any, Any], None],
    dtype: Any = None,
) -> Any:
    """Call ``work(source, target, queue)`` with ``array`` and uint8 of ``shape`` on the device; the target.

    What lies on the device stays there and isn't waited for: the result is ``out``, or a tensor where
    ``array`` is one, or a numba device array. A numpy array is sent (as ``dtype``) and the result fetched.
    """
    if isinstance(out, np.ndarray) and not out.flags.c_contiguous:
        msg = f"out has strides {out.strides}; expected a C-contiguous array"
        raise KernelInputError(msg)
    tensor = _is_tensor(array)
    host = not is_on_device(array)
    with cuda.gpus[array.device.index] if tensor else nullcontext():
        queue = _queue(array, stream)
        if host:
            source = cuda.to_device(np.ascontiguousarray(array, dtype=dtype), stream=queue)
        else:
            source = _contiguous("the array", _view(array))
        if host or (out is None and not tensor):
            target = cuda.device_array(shape, np.uint8, stream=queue)
        else:
            out = array.new_empty(shape, dtype=sys.modules["torch"].uint8) if out is None else out
            target = _contiguous("out", _view(out))
        if target.size:
            work(source, target, queue)
        if not host:
            return target if out is None else out
        result = np.empty(shape, np.uint8) if out is None else out
        target.copy_to_host(result, stream=queue)
        if queue:
            queue.synchronize()
        return result


def grid(columns: int, rows: int = 1, images: int = 1) -> tuple[tuple[int, int, int], tuple[int, int]]:
    """Blocks and threads a block for kernels that loop with the grid's strides over columns, rows and images."""
    if config.ENABLE_CUDASIM:  # each of its threads is one of Python's: leave it to the loops
        return (1, 1, 1), (2, 1)
    across = THREADS if rows == 1 else WARP
    down = THREADS // across
    blocks = (max(1, -(-columns // across)), min(-(-rows // down), 65535), min(images, 65535))
    return blocks, (across, down)


def send(table: NDArray[Any], queue: Any, dtype: Any = np.uint32) -> Any:
    """A small table, on the device."""
    return cuda.to_device(np.ascontiguousarray(table, dtype=dtype), stream=queue)


def address(array: Any) -> int:
    """Where a device array begins."""
    if config.ENABLE_CUDASIM:
        return int(array.ctypes.data)
    return int(array.__cuda_array_interface__["data"][0])


def _is_tensor(array: Any) -> bool:
    torch = sys.modules.get("torch")  # without it imported there are no tensors
    return torch is not None and isinstance(array, torch.Tensor) and array.is_cuda


def _queue(array: Any, stream: Any) -> Any:
    if stream is None and _is_tensor(array):
        stream = sys.modules["torch"].cuda.current_stream(array.device).cuda_stream
    if isinstance(stream, int) and stream:
        return cuda.external_stream(stream)
    return stream or 0


def _view(array: Any) -> Any:
    return array if getattr(array, "__cuda_ndarray__", False) else cuda.as_cuda_array(array, sync=False)


def _contiguous(name: str, array: Any) -> Any:
    if not array.is_c_contiguous():
        msg = f"{name} has strides {array.strides}; on a device it must be C-contiguous"
        raise KernelInputError(msg)
    return array
