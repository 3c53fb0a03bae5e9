"""Fractal Volumetric Encoding on a CUDA device, compiled with numba-cuda: the same bytes as the CPU's.

The slices that are needed are halved once, level by level, into device memory. Then each thread looks up where
its pixels lie in the encoding (at which level, which of the three slices there, or on the next level down) and
fetches them: four neighbouring pixels a thread, stored as whole words, where widths and addresses allow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from fve_kernels.cuda_arrays import address, grid, on_device, send
from fve_kernels.geometry import Job, plan

__all__ = ["encode"]


@cuda.jit
def _halve(
    source: Any, rows: Any, begin: int, halved: Any, end: int, height: int, width: int, stride: bool
) -> None:
    """Halve ``source[rows[s], begin:]``, (2h, 2w), into ``halved[s, end:]``, (h, w), for every s."""
    for s in range(cuda.blockIdx.y, halved.shape[0], cuda.gridDim.y):
        for i in range(cuda.grid(1), height * width, cuda.gridsize(1)):
            top = begin + 4 * width * (i // width) + 2 * (i % width)
            below = top + 2 * width
            row = rows[s]
            if stride:
                halved[s, end + i] = source[row, top]
            else:
                total = np.int32(source[row, top]) + np.int32(source[row, top + 1])
                total += np.int32(source[row, below]) + np.int32(source[row, below + 1])
                halved[s, end + i] = (total + 2) >> 2


@cuda.jit(device=True)
def _place(row: int, column: int, levels: int) -> tuple[int, int, int, int]:
    """Where a pixel of a context image comes from: level, distance − 1, and row and column at that level."""
    level = 1
    while level < levels and row & 1 and column & 1:
        row, column, level = row >> 1, column >> 1, level + 1
    return level, 3 * level - 3 + 2 * (row & 1) + (column & 1), row >> 1, column >> 1


@cuda.jit
def _encode_pixels(
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
    size, levels = height * width, offset.shape[0] - 1
    for n in range(cuda.blockIdx.y, focal.shape[0], cuda.gridDim.y):
        for i in range(cuda.grid(1), size, cuda.gridsize(1)):
            source, d, at = volume, 0, i
            if levels > 0:
                level, d, row, column = _place(i // width, i % width, levels)
                source, at = halved, offset[level] + row * (width >> level) + column
            first, step = (i, size) if chw else (3 * i, 1)
            out[n, first] = volume[focal[n], i]
            out[n, first + step] = source[chains[n, 0, d], at]
            out[n, first + 2 * step] = source[chains[n, 1, d], at]


@cuda.jit
def _encode_words(
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
    """Four neighbouring pixels a thread: ``out`` is (n, 3·H·W / 4) words of 32 bits."""
    quads, levels = height * width // 4, offset.shape[0] - 1
    low, byte = np.uint32(0xFF), np.uint32(8)
    for n in range(cuda.blockIdx.y, focal.shape[0], cuda.gridDim.y):
        for i in range(cuda.grid(1), quads, cuda.gridsize(1)):
            line, begin = 4 * i // width, 4 * i % width
            f = b = a = np.uint32(0)
            for j in range(4):
                pixel, shift = 4 * i + j, np.uint32(8 * j)
                source, d, at = volume, 0, pixel
                if levels > 0:
                    level, d, row, column = _place(line, begin + j, levels)
                    source, at = halved, offset[level] + row * (width >> level) + column
                f |= np.uint32(volume[focal[n], pixel]) << shift
                b |= np.uint32(source[chains[n, 0, d], at]) << shift
                a |= np.uint32(source[chains[n, 1, d], at]) << shift
            if chw:
                out[n, i], out[n, quads + i], out[n, 2 * quads + i] = f, b, a
                continue
            f1, f2, f3 = f >> byte, f >> np.uint32(16), f >> np.uint32(24)
            b1, b2, b3 = b >> byte, b >> np.uint32(16), b >> np.uint32(24)
            a1, a2, a3 = a >> byte, a >> np.uint32(16), a >> np.uint32(24)
            f, f1, f2 = f & low, f1 & low, f2 & low
            b, b1, b2 = b & low, b1 & low, b2 & low
            a, a1, a2 = a & low, a1 & low, a2 & low
            out[n, 3 * i] = f | b << byte | a << np.uint32(16) | f1 << np.uint32(24)
            out[n, 3 * i + 1] = b1 | a1 << byte | f2 << np.uint32(16) | b2 << np.uint32(24)
            out[n, 3 * i + 2] = a2 | f3 << byte | b3 << np.uint32(16) | a3 << np.uint32(24)


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
    flat = image.reshape(job.depth, size)
    offset = np.cumsum([0, 0, *(size >> (2 * level) for level in range(1, job.order))])[: max(job.order, 1)]
    chains, halved = job.sources, flat
    if job.order > 1:
        used, slots = np.unique(job.sources, return_inverse=True)
        chains = slots.reshape(job.sources.shape)
        halved = cuda.device_array(
            (used.size, int(offset[-1]) + (size >> (2 * job.order - 2))), np.uint8, stream=queue
        )
        source, rows, begin = flat, send(used, queue), 0
        for level in range(1, job.order):
            height, width = job.height >> level, job.width >> level
            blocks = grid(height * width, used.size)
            _halve[(*blocks, queue)](
                source, rows, begin, halved, int(offset[level]), height, width, job.stride
            )
            source, rows, begin = halved, send(np.arange(used.size), queue), int(offset[level])
    tables = (
        send(offset, queue),
        job.height,
        job.width,
        send(job.focal, queue),
        send(chains, queue),
        job.chw,
    )
    rows = target.reshape(n, 3 * size)
    if job.width % 4 == 0 and address(target) % 4 == 0:
        _encode_words[(*grid(size // 4, n), queue)](flat, halved, *tables, rows.view(np.uint32))
    else:
        _encode_pixels[(*grid(size, n), queue)](flat, halved, *tables, rows)
