"""Fractal Volumetric Encoding on a CUDA device, compiled with numba-cuda: the same bytes as the CPU's.

The slices that are needed are halved once, level by level, into device memory, and then fetched from there. Where
widths and addresses allow it, a thread reads and writes whole words and moves bytes by permutations: see
``cuda_words``. Everything else goes pixel by pixel, here. Rows and columns come from the grid, never from a
division, and indices within a slice are 32 bits wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from fve_kernels.cuda_arrays import address, grid, on_device, send
from fve_kernels.cuda_words import copy_words, encode_words, halve_words
from fve_kernels.geometry import Job, plan

__all__ = ["encode", "encode_pixels", "halve_pixels"]


@cuda.jit
def halve_pixels(
    source: Any, rows: Any, begin: int, halved: Any, end: int, height: int, width: int, stride: bool
) -> None:
    """Halve ``source[rows[s], begin:]``, (2h, 2w), into ``halved[s, end:]``, (h, w), for every s."""
    h, w = np.int32(height), np.int32(width)
    s = np.int32(cuda.blockIdx.z)
    while s < halved.shape[0]:
        row = rows[s]
        y = np.int32(cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y)
        while y < h:
            x = np.int32(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
            while x < w:
                top = np.int32(begin + 4 * w * y + 2 * x)
                below = np.int32(top + 2 * w)
                if stride:
                    value = np.int32(source[row, top])
                else:
                    value = np.int32(source[row, top]) + np.int32(source[row, top + 1])
                    value += np.int32(source[row, below]) + np.int32(source[row, below + 1])
                    value = (value + 2) >> 2
                halved[s, np.int32(end + y * w + x)] = value
                x = np.int32(x + cuda.gridDim.x * cuda.blockDim.x)
            y = np.int32(y + cuda.gridDim.y * cuda.blockDim.y)
        s = np.int32(s + cuda.gridDim.z)


@cuda.jit
def encode_pixels(
    volume: Any,
    halved: Any,
    offset: Any,
    height: int,
    width: int,
    focal: Any,
    chains: Any,
    chw: bool,
    out: Any,
) -> None:
    """One pixel a thread: ``out`` is (n, 3·H·W) bytes."""
    h, w, levels = np.int32(height), np.int32(width), np.int32(offset.shape[0] - 1)
    size = np.int32(h * w)
    n = np.int32(cuda.blockIdx.z)
    while n < focal.shape[0]:
        y = np.int32(cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y)
        while y < h:
            x = np.int32(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
            while x < w:
                i = np.int32(y * w + x)
                first, step = (i, size) if chw else (np.int32(3 * i), np.int32(1))
                out[n, first] = volume[focal[n], i]
                if levels == 0:
                    out[n, first + step] = volume[chains[n, 0, 0], i]
                    out[n, first + 2 * step] = volume[chains[n, 1, 0], i]
                else:
                    # At which level of the recursion the pixel is a slice's own, and where there.
                    row, column, level = y, x, np.int32(1)
                    while level < levels and row & 1 and column & 1:
                        row, column, level = np.int32(row >> 1), np.int32(column >> 1), np.int32(level + 1)
                    d = np.int32(3 * level - 3 + 2 * (row & 1) + (column & 1))
                    at = np.int32(offset[level] + (row >> 1) * (w >> level) + (column >> 1))
                    out[n, first + step] = halved[chains[n, 0, d], at]
                    out[n, first + 2 * step] = halved[chains[n, 1, d], at]
                x = np.int32(x + cuda.gridDim.x * cuda.blockDim.x)
            y = np.int32(y + cuda.gridDim.y * cuda.blockDim.y)
        n = np.int32(n + cuda.gridDim.z)


def encode(
    volume: Any,
    order: int = 1,
    boundary: str = "repeat",
    downsample: str = "mean",
    *,
    focal: Sequence[int] | NDArray[Any] | None = None,
    out: Any = None,
    layout: str = "hwc",
    stream: Any = None,
) -> Any:
    """Encode focal slices of a volume (D, H, W) uint8 into (n, H, W, 3), or (n, 3, H, W) for ``chw``.

    A volume on the device (a torch tensor, or anything with ``__cuda_array_interface__``) is read where it
    is, without a copy, and the result stays there: of the same kind for torch, else a numba device array.
    Both must be C-contiguous. The work is queued on ``stream`` (a numba stream or a handle; torch's current
    stream for tensors) and not waited for. A numpy volume is sent there, and the result fetched.
    """
    job = plan(volume, order, boundary, downsample, focal, layout, out)
    return on_device(volume, out, job.out_shape, stream, lambda *work: _launch(job, *work))


def _launch(job: Job, image: Any, target: Any, queue: Any) -> None:
    size, n = job.height * job.width, job.focal.size
    flat, rows = image.reshape(job.depth, size), target.reshape(n, 3 * size)
    focal = send(job.focal, queue)
    aligned = address(image) % 8 == 0 and address(target) % 8 == 0
    if job.order <= 1:
        chains = send(job.sources, queue)
        if aligned and size % 8 == 0:
            words = (flat.view(np.int64), focal, chains, rows.view(np.int64))
            copy_words(job.chw)[(*grid(size // 8, 1, n), queue)](*words)
        else:
            tables = (send(np.zeros(1), queue), job.height, job.width, focal, chains)
            encode_pixels[(*grid(job.width, job.height, n), queue)](flat, flat, *tables, job.chw, rows)
        return
    used, slots = np.unique(job.sources, return_inverse=True)
    aligned = aligned and job.width % 8 == 0
    offset, halved = _halve(job, flat, used, aligned, queue)
    chains = send(slots.reshape(job.sources.shape), queue)
    tables = (send(offset, queue), job.height, job.width, focal, chains)
    if aligned:
        views = (flat.view(np.int64), halved.view(np.int32), halved.view(np.uint16), halved)
        blocks = grid(job.width // 8, job.height // 2, n)
        kernel = encode_words(job.order - 1, job.chw)
        kernel[(*blocks, queue)](*views, *tables, rows.view(np.int64))
    else:
        encode_pixels[(*grid(job.width, job.height, n), queue)](flat, halved, *tables, job.chw, rows)


def _halve(
    job: Job, flat: Any, used: NDArray[np.int64], aligned: bool, queue: Any
) -> tuple[NDArray[np.int64], Any]:
    """Return where each level begins (levels + 1,), and the slices ``used`` at all levels, a row each."""
    sizes = [job.height * job.width >> (2 * level) for level in range(1, job.order)]
    offset = np.cumsum([0, 0, *sizes])
    halved = cuda.device_array((used.size, int(-(-offset[-1] // 4) * 4)), np.uint8, stream=queue)
    source, rows, begin = flat, send(used, queue), 0
    for level in range(1, job.order):
        height, width, end = job.height >> level, job.width >> level, int(offset[level])
        if aligned and width % 4 == 0 and begin % 4 == 0 and end % 4 == 0:
            words = (source.view(np.int32), rows, begin // 4, halved.view(np.int32), end // 4)
            halve_words[(*grid(width // 4, height, used.size), queue)](*words, height, width // 4, job.stride)
        else:
            pixels = (source, rows, begin, halved, end, height, width, job.stride)
            halve_pixels[(*grid(width, height, used.size), queue)](*pixels)
        source, rows, begin = halved, send(np.arange(used.size), queue), end
    return offset[: job.order], halved
