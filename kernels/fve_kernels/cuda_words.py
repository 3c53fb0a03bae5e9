"""The CUDA kernels that read and write whole words and move bytes by permutations.

A thread makes 2 rows of 8 pixels of an encoded image, 48 bytes. Two neighbouring rows are what one step of the
recursion interleaves, so that all of a warp takes the same way but in the last of its levels; and eight pixels are
the bytes of two words, half of them those of one, a quarter those of a half word.

Indices are unsigned, since numba asks of signed ones whether they count from the end; they are computed in 32 bits and
widened once, so that neighbours differ by a constant that costs no instruction.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import config, cuda

__all__ = ["copy_words", "encode_words", "halve_words"]

if config.ENABLE_CUDASIM:  # numba's simulator has no libdevice

    def _picked(x: Any, y: Any, selector: Any) -> Any:
        """Four of the eight bytes of (x, y), counted from x's lowest, by the selector's hexadecimal digits."""
        whole = int(x) & 0xFFFFFFFF | (int(y) & 0xFFFFFFFF) << 32
        picked = (whole >> 8 * (int(selector) >> 4 * i & 7) & 255 for i in range(4))
        return np.uint32(sum(byte << 8 * i for i, byte in enumerate(picked))).view(np.int32)

    byte_perm: Any = _picked
else:
    from numba.cuda import libdevice

    byte_perm = libdevice.byte_perm

_LOW, _HIGH = np.int32(0x5140), np.int32(0x7362)  # bytes 0, 1 (2, 3) of two words, interleaved
_EVEN = np.int32(0x6420)  # every other byte of two words
_LOWER = np.int64(0xFFFFFFFF)
_NEXT, _THREE = np.uint64(1), np.uint64(3)
_D0, _D1, _D2, _D3, _D4, _D5, _D6, _D7, _D8, _D9 = map(
    np.uint32, range(10)
)  # distances from the focal slice, less one
_BYTES = np.int32(0x00FF00FF)
_TWO = np.int32(0x00020002)
# Three words f, b, a of four pixels to their twelve bytes, in order: the first two of each word's sources mixed, then
# the third put in.
_MIX_1, _PUT_1 = np.int32(0x1040), np.int32(0x3410)
_MIX_2, _PUT_2 = np.int32(0x6205), np.int32(0x3250)
_MIX_3, _PUT_3 = np.int32(0x0730), np.int32(0x7216)


@cuda.jit
def halve_words(
    source: Any, rows: Any, begin: int, halved: Any, end: int, height: int, groups: int, stride: bool
) -> None:
    """As ``halve_pixels``, in words: ``groups`` of four pixels a row, ``begin`` and ``end`` in words."""
    h, w = np.uint32(height), np.uint32(groups)
    s = np.uint32(cuda.blockIdx.z)
    while s < halved.shape[0]:
        image, target = source[rows[s]], halved[s]
        y = np.uint32(cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y)
        while y < h:
            x = np.uint32(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
            while x < w:
                top = np.uint64(np.uint32(begin + 4 * w * y + 2 * x))
                first, second = image[top], image[top + _NEXT]
                if not stride:
                    below = np.uint64(np.uint32(begin + 4 * w * y + 2 * w + 2 * x))
                    third, fourth = image[below], image[below + _NEXT]
                    # Two sums of four bytes, of 10 bits each, in the halves of a word.
                    first = (
                        (first & _BYTES) + (first >> 8 & _BYTES) + (third & _BYTES) + (third >> 8 & _BYTES)
                    )
                    second = (
                        (second & _BYTES)
                        + (second >> 8 & _BYTES)
                        + (fourth & _BYTES)
                        + (fourth >> 8 & _BYTES)
                    )
                    first, second = (first + _TWO) >> 2, (second + _TWO) >> 2
                target[np.uint64(np.uint32(end + y * w + x))] = byte_perm(
                    np.int32(first), np.int32(second), _EVEN
                )
                x = np.uint32(x + cuda.gridDim.x * cuda.blockDim.x)
            y = np.uint32(y + cuda.gridDim.y * cuda.blockDim.y)
        s = np.uint32(s + cuda.gridDim.z)


@cuda.jit(device=True, inline="always")
def _join(low: Any, high: Any) -> Any:
    return np.int64(low) & _LOWER | np.int64(high) << 32


@cuda.jit(device=True, inline="always")
def _store(f: Any, b1: Any, b2: Any, a1: Any, a2: Any, out: Any, at: Any) -> None:
    """Eight pixels of three channels, in order, from ``at`` on."""
    f1, f2 = np.int32(f), np.int32(f >> 32)
    out[at] = _join(
        byte_perm(byte_perm(f1, b1, _MIX_1), a1, _PUT_1), byte_perm(byte_perm(f1, b1, _MIX_2), a1, _PUT_2)
    )
    out[at + _NEXT] = _join(
        byte_perm(byte_perm(f1, b1, _MIX_3), a1, _PUT_3), byte_perm(byte_perm(f2, b2, _MIX_1), a2, _PUT_1)
    )
    out[at + _NEXT + _NEXT] = _join(
        byte_perm(byte_perm(f2, b2, _MIX_2), a2, _PUT_2), byte_perm(byte_perm(f2, b2, _MIX_3), a2, _PUT_3)
    )


@cache
def copy_words(chw: bool) -> Any:
    """Return the kernel of orders 0 and 1."""

    @cuda.jit
    def copy(volume: Any, focal: Any, chains: Any, out: Any) -> None:
        """Eight pixels a thread: ``volume`` (D, H·W / 8) and ``out`` (n, 3·H·W / 8) of eight bytes."""
        words = np.uint32(volume.shape[1])
        n = np.uint32(cuda.blockIdx.z)
        while n < focal.shape[0]:
            focus, before, after = volume[focal[n]], volume[chains[n, 0, 0]], volume[chains[n, 1, 0]]
            target = out[n]
            i = np.uint32(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
            while i < words:
                at = np.uint64(i)
                f, b, a = focus[at], before[at], after[at]
                if chw:
                    target[at] = f
                    target[np.uint64(np.uint32(i + words))] = b
                    target[np.uint64(np.uint32(i + 2 * words))] = a
                else:
                    b1, b2, a1, a2 = np.int32(b), np.int32(b >> 32), np.int32(a), np.int32(a >> 32)
                    _store(f, b1, b2, a1, a2, target, np.uint64(np.uint32(3 * i)))
                i = np.uint32(i + cuda.gridDim.x * cuda.blockDim.x)
            n = np.uint32(n + cuda.gridDim.z)

    return copy


@cache
def encode_words(levels: int, chw: bool) -> Any:
    """Return the kernel of order ``levels`` + 1, from 2 up: what is decided before the launch costs no instruction."""

    @cuda.jit
    def encode(
        volume: Any,
        halved: Any,
        halves: Any,
        pixels: Any,
        offset: Any,
        height: int,
        width: int,
        focal: Any,
        chains: Any,
        out: Any,
    ) -> None:
        """Two rows of eight pixels a thread: ``volume`` (D, H·W / 8) and ``out`` (n, 3·H·W / 8) of eight bytes.

        ``halved``, ``halves`` and ``pixels`` are the halved slices as words, half words and bytes.
        """
        lines, groups = np.uint32(height >> 1), np.uint32(width >> 3)
        plane = np.uint32(groups * height)  # an image's channel, in eight bytes
        n = np.uint32(cuda.blockIdx.z)
        while n < focal.shape[0]:
            focus, target = volume[focal[n]], out[n]
            y = np.uint32(cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y)
            while y < lines:
                x = np.uint32(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
                while x < groups:
                    at = np.uint64(np.uint32(y * groups + x))
                    b1 = b2 = b3 = b4 = a1 = a2 = a3 = a4 = np.int32(0)
                    for side in range(2):
                        near = chains[n, np.uint32(side)]
                        one, two, three = halved[near[_D0], at], halved[near[_D1], at], halved[near[_D2], at]
                        if levels == 1:
                            four = halved[near[_D3], at]
                        else:
                            # Four pixels of the next level's image, row y: of two slices, by their columns.
                            i = np.uint64(np.uint32((offset[_D2] >> 1) + (y >> 1) * groups + x))
                            if not y & 1:
                                left, right = halves[near[_D3], i], halves[near[_D4], i]
                            elif levels == 2:
                                left, right = halves[near[_D5], i], halves[near[_D6], i]
                            else:
                                left = halves[near[_D5], i]
                                # Two pixels of the level after that, row y >> 1.
                                row, column = np.uint32(y >> 2), x
                                i = np.uint64(np.uint32(offset[_D3] + row * groups + column))
                                d = _D7 if not y & 2 else _D9
                                first = pixels[near[_D6 if not y & 2 else _D8], i]
                                if levels > 3 and y & 2:  # one pixel of a level from the fourth on
                                    level = np.uint32(4)
                                    while level < levels and row & 1 and column & 1:
                                        row, column = np.uint32(row >> 1), np.uint32(column >> 1)
                                        level = np.uint32(level + 1)
                                    d = np.uint32(3 * level - 3 + 2 * (row & 1) + (column & 1))
                                    i = np.uint64(
                                        np.uint32(
                                            offset[level]
                                            + (row >> 1) * np.uint32(width >> level)
                                            + (column >> 1)
                                        )
                                    )
                                right = np.uint16(np.uint32(first) | np.uint32(pixels[near[d], i]) << 8)
                            four = byte_perm(np.int32(left), np.int32(right), _LOW)
                        if side == 0:
                            b1, b2 = byte_perm(one, two, _LOW), byte_perm(one, two, _HIGH)
                            b3, b4 = byte_perm(three, four, _LOW), byte_perm(three, four, _HIGH)
                        else:
                            a1, a2 = byte_perm(one, two, _LOW), byte_perm(one, two, _HIGH)
                            a3, a4 = byte_perm(three, four, _LOW), byte_perm(three, four, _HIGH)
                    line = np.uint32(2 * y * groups + x)
                    i, j = np.uint64(line), np.uint64(np.uint32(line + groups))
                    if chw:
                        target[i], target[j] = focus[i], focus[j]
                        i, j = i + np.uint64(plane), j + np.uint64(plane)
                        target[i], target[j] = _join(b1, b2), _join(b3, b4)
                        i, j = i + np.uint64(plane), j + np.uint64(plane)
                        target[i], target[j] = _join(a1, a2), _join(a3, a4)
                    else:
                        _store(focus[i], b1, b2, a1, a2, target, i * _THREE)
                        _store(focus[j], b3, b4, a3, a4, target, j * _THREE)
                    x = np.uint32(x + cuda.gridDim.x * cuda.blockDim.x)
                y = np.uint32(y + cuda.gridDim.y * cuda.blockDim.y)
            n = np.uint32(n + cuda.gridDim.z)

    return encode
