"""Counts over images and label maps in one pass, compiled with numba: no temporary, no interpreter lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from fve_kernels.compiling import compile_kernel, read_only

__all__ = [
    "LabelStatistics",
    "add_labels",
    "histogram_uint8",
    "label_counts",
    "label_statistics",
    "no_labels",
    "squared_steps",
]


@dataclass(frozen=True)
class LabelStatistics:
    """For each id, 0..255 or 0..65535: voxels, first and last index (z,y,x), and sums of indices (z,y,x).

    ``low`` exceeds ``high`` where an id is absent. :func:`add_labels` adds to the arrays in place.
    """

    counts: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    sums: NDArray[np.float64]


def label_statistics(labels: NDArray[Any]) -> LabelStatistics:
    """Size and place of each id of a (D,H,W) uint8 or uint16 label map."""
    found = no_labels(np.iinfo(labels.dtype).max + 1)
    add_labels(found, labels, 0)
    return found


def no_labels(ids: int = 1 << 16) -> LabelStatistics:
    """Return the statistics of no voxels, for as many ids, to which :func:`add_labels` adds slab by slab."""
    low = np.full((ids, 3), np.iinfo(np.int64).max)
    return LabelStatistics(np.zeros(ids, np.int64), low, np.full((ids, 3), -1), np.zeros((ids, 3)))


def add_labels(found: LabelStatistics, slab: NDArray[Any], first: int) -> None:
    """Add slices (n,H,W) of a uint8 or uint16 label map, of which the first is slice ``first`` of the volume."""
    place = (*_in_words(slab), slab.shape, first)
    _STATISTICS[slab.dtype.itemsize](*place, found.counts, found.low, found.high, found.sums)


def label_counts(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Pixels of each id 0..255 or 0..65535 of a uint8 or uint16 array of any shape."""
    counts = np.zeros(np.iinfo(labels.dtype).max + 1, np.int64)
    _COUNTS[labels.dtype.itemsize](*_in_words(labels), counts)
    return counts


def _in_words(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.uint64], np.uint64]:
    """The labels in one row; as many of them as fill words of eight bytes; what times a label is a word of it."""
    flat = np.ascontiguousarray(labels).reshape(-1)
    if flat.__array_interface__["data"][0] % 8:
        flat = flat.copy()
    size = flat.dtype.itemsize
    words = flat[: flat.size * size // 8 * 8 // size].view(np.uint64)
    return flat, words, np.uint64(sum(1 << 8 * place for place in range(0, 8, size)))


def histogram_uint8(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each value 0..255 occurs in a uint8 array of any shape."""
    flat, words, _ = _in_words(image)
    partial = np.zeros((8, 256), np.int64)
    blank = _HISTOGRAM(words, partial)
    total: NDArray[np.int64] = partial.sum(axis=0) + np.bincount(flat[8 * words.size :], minlength=256)
    total[0] += 8 * blank
    return total


def squared_steps(plane: NDArray[np.uint8]) -> tuple[int, int]:
    """Sum and number of the squared differences between neighbours along both axes of (H,W) uint8."""
    height, width = plane.shape
    steps = height * max(width - 1, 0) + width * max(height - 1, 0)
    return int(_STEPS(np.ascontiguousarray(plane))), steps


@numba.njit(nogil=True, inline="always")
def _run_stop(labels, words, repeated, start, end):  # type: ignore[no-untyped-def]
    """Where the run of equal labels that begins at ``start`` stops, at most ``end``: a word at a time inside."""
    label = labels[start]
    per_word = 8 // labels.itemsize
    stop = start + 1
    while stop < end and labels[stop] == label:
        stop += 1
        if stop % per_word == 0:
            word, last, pattern = stop // per_word, end // per_word, np.uint64(label) * repeated
            while word < last and words[word] == pattern:
                word += 1
            stop = word * per_word
    return stop


def _statistics(labels, words, repeated, shape, offset, counts, low, high, sums):  # type: ignore[no-untyped-def]
    depth, height, width = shape
    for line in range(depth * height):
        z, y, first = offset + line // height, line % height, line * width
        start = first
        while start < first + width:
            stop = _run_stop(labels, words, repeated, start, first + width)
            label, n = labels[start], stop - start
            counts[label] += n
            low[label, 0] = min(low[label, 0], z)
            low[label, 1] = min(low[label, 1], y)
            low[label, 2] = min(low[label, 2], start - first)
            high[label, 0] = max(high[label, 0], z)
            high[label, 1] = max(high[label, 1], y)
            high[label, 2] = max(high[label, 2], stop - first - 1)
            sums[label, 0] += n * z
            sums[label, 1] += n * y
            sums[label, 2] += n * (start + stop - 2 * first - 1) / 2
            start = stop


def _counts(labels, words, repeated, counts):  # type: ignore[no-untyped-def]
    start = 0
    while start < labels.size:
        stop = _run_stop(labels, words, repeated, start, labels.size)
        counts[labels[start]] += stop - start
        start = stop


def _histogram(words, partial):  # type: ignore[no-untyped-def]
    # Eight histograms, so that equal neighbours do not wait for each other's count; most of an image is 0.
    blank = 0
    for word in words:
        if word == 0:
            blank += 1
        else:
            for place in range(8):
                partial[place, (word >> np.uint64(8 * place)) & np.uint64(255)] += 1
    return blank


def _steps(plane):  # type: ignore[no-untyped-def]
    height, width = plane.shape
    total = np.int64(0)
    for y in range(height):
        row = plane[y]
        line = np.int64(0)
        for x in range(width - 1):
            step = np.int32(row[x + 1]) - np.int32(row[x])
            line += step * step
        if y + 1 < height:
            below = plane[y + 1]
            for x in range(width):
                step = np.int32(below[x]) - np.int32(row[x])
                line += step * step
        total += line
    return total


_INT, _INTS, _FLOATS = numba.int64[::1], numba.int64[:, ::1], numba.float64[:, ::1]
_DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16))
_WORDS, _WORD, _SHAPE = read_only(np.uint64), numba.uint64, numba.types.UniTuple(numba.int64, 3)
_STATISTICS = {
    dtype.itemsize: compile_kernel(
        _statistics,
        numba.void(read_only(dtype), _WORDS, _WORD, _SHAPE, numba.int64, _INT, _INTS, _INTS, _FLOATS),
    )
    for dtype in _DTYPES
}
_COUNTS = {
    dtype.itemsize: compile_kernel(_counts, numba.void(read_only(dtype), _WORDS, _WORD, _INT))
    for dtype in _DTYPES
}
_HISTOGRAM = compile_kernel(_histogram, numba.int64(_WORDS, _INTS))
_STEPS = compile_kernel(_steps, numba.int64(read_only(np.uint8, 2)))
