"""Exact percentiles on the CPU without sorting, compiled with numba.

A histogram over 16 bits is exact for 8- and 16-bit integers; wider numbers, floating-point ones included, are
found 16 bits at a time (``cpu_radix``). So there is no bin width to choose and no error: the order statistics
are those of a full sort, whatever the dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from fve_kernels.compiling import compile_kernel, in_threads, read_only
from fve_kernels.cpu_radix import Radix
from fve_kernels.cpu_rescale import computed_as, slabs

__all__ = ["percentiles"]

Array = NDArray[Any]


def percentiles(
    array: Array, q: Sequence[float], *, positive: bool = False, threads: int = 1
) -> NDArray[np.float64]:
    """Percentiles ``q`` (0..100) of all voxels, or of those above zero, as numpy's default method gives them.

    Bit for bit what np.percentile gives for the same numbers as float64. (For float32 numpy computes ranks in
    single precision, which misses by whole ranks above 2^24 voxels.) All NaN where no voxel is selected.
    Raises KernelInputError where voxels are NaN or infinite.
    """
    dtype = computed_as(array.dtype)
    array = _in_memory_order(array)
    if dtype.itemsize > 2:
        voxels = Radix(array, dtype, positive, threads)
        if voxels.size == 0:
            return np.full(len(q), np.nan)
        ranks, weight = _ranks(voxels.size, q)
        found = voxels.at(ranks)
    else:
        values, counts = _histogram(array, dtype, threads)
        if positive:
            counts[values <= 0] = 0
        total = int(counts.sum())
        if total == 0:
            return np.full(len(q), np.nan)
        ranks, weight = _ranks(total, q)
        found = values[np.searchsorted(np.cumsum(counts), ranks, side="right")]
    low, high = found.astype(np.float64).reshape(2, -1)
    step = high - low
    return np.where(weight < 0.5, low + step * weight, high - step * (1 - weight))


def _in_memory_order(array: Array) -> Array:
    """The same voxels in the order they lie in memory: a contiguous view wherever there is one."""
    array = array[tuple(slice(None, None, -1 if stride < 0 else None) for stride in array.strides)]
    return array.transpose(sorted(range(array.ndim), key=lambda axis: -array.strides[axis]))


def _ranks(total: int, q: Sequence[float]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The ranks below and above each percentile, (2·q,), and the weight of the upper one."""
    position = (total - 1) * (np.asarray(q, np.float64) / 100)
    below = np.floor(position)
    above = np.minimum(below + 1, total - 1)
    return np.concatenate([below, above]).astype(np.int64), position - below


def _count_words(words: NDArray[np.uint64], counts: NDArray[np.uint32]) -> None:
    """Count 16-bit values, four to a word, each in a table of its own so that equal neighbours don't wait."""
    mask, w1, w2, w3 = numba.uint64(0xFFFF), numba.uint64(16), numba.uint64(32), numba.uint64(48)
    for i in range(words.size):
        word = words[i]
        counts[0, word & mask] += numba.uint32(1)
        counts[1, (word >> w1) & mask] += numba.uint32(1)
        counts[2, (word >> w2) & mask] += numba.uint32(1)
        counts[3, word >> w3] += numba.uint32(1)


@cache
def _word_counter() -> Callable[..., Any]:
    return compile_kernel(_count_words, numba.void(read_only(np.uint64), numba.uint32[:, ::1]))


def _histogram(array: Array, dtype: np.dtype[Any], threads: int) -> tuple[Array, NDArray[np.int64]]:
    """Every value that the dtype has, in order, and how often each occurs."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    counts = np.zeros(1 << 8 * dtype.itemsize, np.int64)
    pairs = np.zeros(1 << 16, np.int64)
    for _, slab in slabs(array, dtype):
        bits = slab.view(unsigned)
        whole = bits.size - bits.size % (8 // dtype.itemsize)
        words = bits[:whole].view(np.uint64)
        for tables in in_threads(threads, _tables, words):
            pairs += tables
        counts += np.bincount(bits[whole:], minlength=counts.size)
    if dtype.itemsize == 1:  # the words were counted as pairs of bytes
        square = pairs.reshape(256, 256)
        counts += square.sum(axis=0) + square.sum(axis=1)
    else:
        counts += pairs
    values = np.arange(counts.size, dtype=unsigned).view(dtype)
    below_zero = values.size // 2 if dtype.kind == "i" else 0  # their bits come last
    return np.roll(values, below_zero), np.roll(counts, below_zero)


def _tables(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    counts = np.zeros((4, 1 << 16), np.uint32)
    _word_counter()(words, counts)
    total: NDArray[np.int64] = counts.sum(axis=0, dtype=np.int64)
    return total
