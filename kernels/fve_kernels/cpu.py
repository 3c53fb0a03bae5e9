"""Fractal Volumetric Encoding on the CPU, compiled with numba, without the interpreter lock.

Every loop that touches voxels runs over flat arrays with unit stride, because that is what the compiler turns
into vector instructions; pairs of bytes are read and written as one 16-bit word (all of numba's targets are
little-endian). A slice is halved once, when the first focal slice asks for it, and kept; the two context
images are built from their smallest level up in strips that stay in cache, and interleaved with the focal
slice once (``cpu_interleave``). Nothing is shared between calls, so any number of threads may encode at once.

Halved slices are kept in a ring just long enough for the slices that one focal slice needs: neighbours in a
volume find them there, and the ring stays in the L2 cache instead of streaming a third of the volume, freshly
mapped by the system, through memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from fve_kernels.compiling import compile_kernel, in_threads, read_only
from fve_kernels.cpu_interleave import finish_stream, interleave3
from fve_kernels.geometry import KernelInputError, plan

__all__ = ["encode"]

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint16]
Indices = NDArray[np.int64]

STRIP_BYTES = 1 << 18  # of each context image, mixed before it is interleaved: both stay in the L2 cache

# Results from this size on are written past the caches: they would leave them before they are read again.
# Where both ways are equally fast, on the machine of docs/benchmarks.md, lies between 6 and 12 MB.
STREAM_BYTES = 1 << 23


@register_jitable
def _copy(source: Bytes, out: Bytes) -> None:
    for i in range(source.size):
        out[i] = source[i]


@register_jitable
def _halve(pairs: Words, out: Bytes, height: int, width: int, stride: bool) -> None:
    """(2h, 2w) bytes, seen as (2h, w) pairs, into (h, w)."""
    for row in range(height):
        top = pairs[2 * row * width : (2 * row + 1) * width]
        bottom = pairs[(2 * row + 1) * width : (2 * row + 2) * width]
        line = out[row * width : (row + 1) * width]
        if stride:
            for i in range(width):
                line[i] = top[i] & 255
        else:
            for i in range(width):
                line[i] = ((top[i] & 255) + (top[i] >> 8) + (bottom[i] & 255) + (bottom[i] >> 8) + 2) >> 2


@register_jitable
def _mix(m1: Bytes, m2: Bytes, m3: Bytes, m4: Bytes, pairs: Words, height: int, width: int) -> None:
    """The paper's pixel_mix: four (h, w) into one (2h, 2w), written as (2h, w) pairs of bytes."""
    for row in range(height):
        start = row * width
        even = 2 * start
        odd = even + width
        for i in range(width):
            pairs[even + i] = m1[start + i] | (m2[start + i] << 8)
        for i in range(width):
            pairs[odd + i] = m3[start + i] | (m4[start + i] << 8)


@register_jitable
def _halve_chain(
    volume: Bytes,
    height: int,
    width: int,
    stride: bool,
    chain: Indices,
    offset: Indices,
    halved: Bytes,
    held: Indices,
    ready: Indices,
) -> None:
    """Halve the slices of one side as far as it needs them; what an earlier focal slice left is kept."""
    for d in range(chain.size):
        s = chain[d] % held.size
        if held[s] != chain[d]:
            held[s] = chain[d]
            ready[s] = 0
        for level in range(ready[s] + 1, min(d // 3 + 1, offset.size - 2) + 1):
            if level == 1:
                finer = volume[chain[d]]
            else:
                finer = halved[s, offset[level - 1] : offset[level]]
            coarser = halved[s, offset[level] : offset[level + 1]]
            _halve(finer.view(np.uint16), coarser, height >> level, width >> level, stride)
            ready[s] = level


@register_jitable
def _context(
    height: int, width: int, chain: Indices, offset: Indices, halved: Bytes, scratch: Bytes
) -> Bytes:
    """The context image of one side at half size: all of Algorithm 1 but its outermost pixel_mix."""
    level = offset.size - 2
    ring = len(halved)
    image = halved[chain[chain.size - 1] % ring, offset[level] : offset[level + 1]]
    while level > 1:
        a, b = offset[level], offset[level + 1]
        d = 3 * level - 3
        mixed = scratch[offset[level - 1] : offset[level]]
        _mix(
            halved[chain[d] % ring, a:b],
            halved[chain[d + 1] % ring, a:b],
            halved[chain[d + 2] % ring, a:b],
            image,
            mixed.view(np.uint16),
            height >> level,
            width >> level,
        )
        image = mixed
        level -= 1
    return image


def _encode_rows(
    volume: Bytes,
    height: int,
    width: int,
    order: int,
    stride: bool,
    chw: bool,
    stream: bool,
    focal: Indices,
    sources: Indices,
    out: Bytes,
) -> None:
    """Encode ``focal`` (n,) of ``volume`` (D, H·W) into ``out`` (n, 3·H·W)."""
    size = height * width
    if order <= 1:
        for row in range(focal.size):
            image, before, after = volume[focal[row]], volume[sources[row, 0, 0]], volume[sources[row, 1, 0]]
            if chw:
                _copy(image, out[row, :size])
                _copy(before, out[row, size : 2 * size])
                _copy(after, out[row, 2 * size :])
            else:
                interleave3(image, before, after, out[row], stream)
        finish_stream()
        return

    # halved[s] holds levels 1..order−1 of slice held[s], level j at offset[j]; ready[s] of them are computed.
    offset = np.zeros(order + 1, np.int64)
    for level in range(1, order):
        offset[level + 1] = offset[level] + (size >> (2 * level))
    ring = 0  # no two slices of one focal slice's context share a place
    for row in range(focal.size):
        ring = max(ring, sources[row].max() - sources[row].min() + 1)
    row_bytes = (offset[order] + 63) // 64 * 64  # every level then begins at an even address
    halved = np.empty((ring, row_bytes), np.uint8)
    held = np.full(ring, -1, np.int64)
    ready = np.zeros(ring, np.int64)
    scratch = np.empty((2, row_bytes), np.uint8)
    w = width >> 1
    strip = min(height >> 1, max(1, STRIP_BYTES // (4 * w)))
    strips = np.empty((2, 4 * strip * w), np.uint8)

    for row in range(focal.size):
        for side in range(2):
            _halve_chain(volume, height, width, stride, sources[row, side], offset, halved, held, ready)
        before = _context(height, width, sources[row, 0], offset, halved, scratch[0])
        after = _context(height, width, sources[row, 1], offset, halved, scratch[1])
        for top in range(0, height >> 1, strip):
            rows = min(strip, (height >> 1) - top)
            a, b = top * w, (top + rows) * w
            for side in range(2):
                near = sources[row, side]
                image = after if side else before
                target = strips[side]
                if chw:
                    target = out[row, (side + 1) * size + 4 * a : (side + 1) * size + 4 * b]
                _mix(
                    halved[near[0] % ring, a:b],
                    halved[near[1] % ring, a:b],
                    halved[near[2] % ring, a:b],
                    image[a:b],
                    target.view(np.uint16),
                    rows,
                    w,
                )
            focus = volume[focal[row], 4 * a : 4 * b]
            if chw:
                _copy(focus, out[row, 4 * a : 4 * b])
            else:
                pixels = 4 * (b - a)
                target = out[row, 12 * a : 12 * b]
                interleave3(focus, strips[0, :pixels], strips[1, :pixels], target, stream)
    finish_stream()


_kernel = compile_kernel(
    _encode_rows,
    numba.void(
        read_only(np.uint8, 2),
        numba.int64,
        numba.int64,
        numba.int64,
        numba.boolean,
        numba.boolean,
        numba.boolean,
        numba.int64[::1],
        numba.int64[:, :, ::1],
        numba.uint8[:, ::1],
    ),
)


def encode(
    volume: Bytes,
    order: int = 1,
    boundary: str = "repeat",
    downsample: str = "mean",
    *,
    focal: Sequence[int] | NDArray[Any] | None = None,
    out: Bytes | None = None,
    layout: str = "hwc",
    threads: int = 1,
) -> Bytes:
    """Encode each focal slice of a volume (D, H, W) uint8; (n, H, W, 3), or (n, 3, H, W) for ``chw``.

    A volume that is not C-contiguous is copied first, the slices that are needed only; ``out`` must be
    C-contiguous. ``threads`` splits the focal slices into as many runs; they share nothing but the input.
    """
    job = plan(volume, order, boundary, downsample, focal, layout, out)
    encoded = np.empty(job.out_shape, np.uint8) if out is None else out
    if not encoded.flags.c_contiguous:
        msg = f"out has strides {encoded.strides}; expected a C-contiguous array"
        raise KernelInputError(msg)
    if job.focal.size == 0:
        return encoded
    image, focus, chains = volume, job.focal, job.sources
    if not image.flags.c_contiguous:
        first = min(int(focus.min()), int(chains.min()))
        last = max(int(focus.max()), int(chains.max()))
        image = np.ascontiguousarray(image[first : last + 1])
        focus, chains = focus - first, chains - first
    flat = image.reshape(len(image), -1)
    rows = encoded.reshape(len(encoded), -1)
    shape = (job.height, job.width, job.order, job.stride, job.chw, encoded.nbytes >= STREAM_BYTES)
    in_threads(threads, lambda f, c, r: _kernel(flat, *shape, f, c, r), focus, chains, rows)
    return encoded
