"""Exact order statistics of 32- and 64-bit numbers without sorting, compiled with numba.

The voxels are mapped to unsigned keys that sort as they do, and the key at a rank is found 16 bits at a time:
each pass over the voxels counts the next 16 bits of the keys that begin as the one looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from fve_kernels.compiling import compile_kernel, in_threads, read_only
from fve_kernels.cpu_rescale import slabs
from fve_kernels.geometry import KernelInputError

__all__ = ["Radix"]

Array = NDArray[Any]
T = TypeVar("T")


def _count_first(
    bits: Array, key_of: NDArray[np.uint64], counts: NDArray[np.uint32], tally: NDArray[np.uint64]
) -> None:
    """Count the keys' first 16 bits, and tally the keys up to the floor and those of no finite number.

    ``key_of`` is what ``_key_of`` returns. Four tables, so that equal neighbours don't wait for each other;
    and no branch depends on a voxel. Keys up to the floor count as key 0.
    """
    zero, one = numba.uint64(0), numba.uint64(1)
    top, flip, flip_negative, floor = key_of[0], key_of[1], key_of[2], key_of[3]
    least, greatest = key_of[4], key_of[5]
    shift = top - numba.uint64(15)
    low = unfit = zero
    for start in range(0, bits.size, 4):
        for i in range(start, min(start + 4, bits.size)):
            word = numba.uint64(bits[i])
            key = word ^ (flip | (flip_negative & (zero - (word >> top))))
            unfit += one if key < least else zero
            unfit += one if key > greatest else zero
            above = one if key > floor else zero
            low += one - above
            counts[i - start, (key * above) >> shift] += numba.uint32(1)
    tally[0] += low
    tally[1] += unfit


def _count_next(
    bits: Array,
    key_of: NDArray[np.uint64],
    shift: np.uint64,
    prefixes: NDArray[np.uint64],
    likely: NDArray[np.bool_],
    counts: NDArray[np.uint32],
) -> None:
    """Count the 16 bits at ``shift`` of the keys that begin with each prefix.

    ``likely`` says which last 16 bits a prefix may have, so that most keys are passed over at once.
    """
    zero, one, width, mask = numba.uint64(0), numba.uint64(1), numba.uint64(16), numba.uint64(0xFFFF)
    top, flip, flip_negative, floor = key_of[0], key_of[1], key_of[2], key_of[3]
    for i in range(bits.size):
        word = numba.uint64(bits[i])
        key = word ^ (flip | (flip_negative & (zero - (word >> top))))
        head = (key * (one if key > floor else zero)) >> shift
        prefix = head >> width
        if likely[prefix & mask]:
            for j in range(prefixes.size):
                if prefix == prefixes[j]:
                    counts[j, head & mask] += numba.uint32(1)


@cache
def _first_counter(unsigned: np.dtype[Any]) -> Callable[..., Any]:
    signature = numba.void(read_only(unsigned), numba.uint64[::1], numba.uint32[:, ::1], numba.uint64[::1])
    return compile_kernel(_count_first, signature)


@cache
def _next_counter(unsigned: np.dtype[Any]) -> Callable[..., Any]:
    u64 = numba.uint64
    tables = (numba.boolean[::1], numba.uint32[:, ::1])
    return compile_kernel(_count_next, numba.void(read_only(unsigned), u64[::1], u64, u64[::1], *tables))


def _key_of(dtype: np.dtype[Any], positive: bool) -> NDArray[np.uint64]:
    """How the bits of a dtype become keys that sort as its numbers do.

    [number of the sign bit, what to flip, what to flip in negatives, floor, least and greatest finite key];
    the floor is the key of zero where only positive numbers count.
    """
    width = 8 * dtype.itemsize
    sign, every = 1 << width - 1, (1 << width) - 1
    flip = 0 if dtype.kind == "u" else sign
    least, greatest = 0, every
    if dtype.kind == "f":
        infinity = sign | int(np.array(np.inf, dtype).view(f"u{dtype.itemsize}"))
        least, greatest = (every ^ infinity) + 1, infinity - 1
    negative = {"u": 0, "i": sign, "f": every}[dtype.kind]
    return np.array([width - 1, flip, negative, flip if positive else 0, least, greatest], np.uint64)


class Radix:
    """The voxels of one array, or its positive ones, as if sorted. ``dtype`` (4 or 8 bytes) is what they are
    computed as."""

    def __init__(self, array: Array, dtype: np.dtype[Any], positive: bool, threads: int) -> None:
        self._array, self._dtype, self._threads = array, dtype, threads
        self._unsigned = np.dtype(f"u{dtype.itemsize}")
        self._key_of = _key_of(dtype, positive)
        kernel = _first_counter(self._unsigned)

        def count(bits: Array) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
            tables, tally = np.zeros((4, 1 << 16), np.uint32), np.zeros(2, np.uint64)
            kernel(bits, self._key_of, tables, tally)
            return tables, tally

        self._first = np.zeros((1, 1 << 16), np.int64)
        low = unfit = 0
        for tables, tally in self._over_voxels(count):
            self._first += tables.sum(axis=0, dtype=np.int64)
            low, unfit = low + int(tally[0]), unfit + int(tally[1])
        if unfit:
            msg = f"{unfit} voxels are NaN or infinite; percentiles need finite numbers"
            raise KernelInputError(msg)
        self._skipped = low if positive else 0
        self.size = array.size - self._skipped

    def at(self, ranks: NDArray[np.int64]) -> Array:
        """The voxels at these ranks, 0 ≤ rank < size."""
        left, heads = ranks + self._skipped, np.zeros(ranks.size, np.uint64)
        for shift in range(8 * self._dtype.itemsize - 16, -1, -16):
            prefixes = np.unique(heads)
            running = np.cumsum(self._counts(shift, prefixes), axis=1)
            for i, row in enumerate(np.searchsorted(prefixes, heads)):
                digit = int(np.searchsorted(running[row], left[i], side="right"))
                left[i] -= running[row, digit - 1] if digit else 0
                heads[i] = (heads[i] << np.uint64(16)) | np.uint64(digit)
        top, flip, flip_negative = self._key_of[:3]
        bits = heads ^ np.where(heads >> top == 0, flip_negative, flip)
        voxels: Array = bits.astype(self._unsigned).view(self._dtype)
        return voxels

    def _counts(self, shift: int, prefixes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """How often each value of 16 bits follows each prefix, (prefixes, 65536)."""
        if shift == 8 * self._dtype.itemsize - 16:
            return self._first
        kernel = _next_counter(self._unsigned)
        likely = np.zeros(1 << 16, np.bool_)
        likely[prefixes & np.uint64(0xFFFF)] = True

        def count(bits: Array) -> NDArray[np.uint32]:
            table = np.zeros((prefixes.size, 1 << 16), np.uint32)
            kernel(bits, self._key_of, np.uint64(shift), prefixes, likely, table)
            return table

        counts = np.zeros((prefixes.size, 1 << 16), np.int64)
        for table in self._over_voxels(count):
            counts += table
        return counts

    def _over_voxels(self, count: Callable[[Array], T]) -> Iterator[T]:
        for _, slab in slabs(self._array, self._dtype):
            bits = slab.view(self._unsigned)
            yield from in_threads(self._threads, count, bits)
