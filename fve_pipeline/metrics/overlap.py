"""Which truth label meets which predicted label, and how often: one pass over two label maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Box", "Labels", "Overlap", "boxes", "overlap"]

Box = tuple[slice, slice, slice]
Labels = NDArray[np.unsignedinteger]

_SLAB = 16
_DENSE = 1 << 20


@dataclass(frozen=True)
class Overlap:
    """The non-empty cells of the joint histogram of two label maps, without (background, background).

    ``truth_ids[k]`` and ``pred_ids[k]`` meet in ``counts[k]`` voxels (all (n,) int64; 0 is background).
    """

    truth_ids: NDArray[np.int64]
    pred_ids: NDArray[np.int64]
    counts: NDArray[np.int64]

    def truth_sizes(self) -> dict[int, int]:
        """Voxels a truth label, background left out, by rising id."""
        return _sizes(self.truth_ids, self.counts)

    def pred_sizes(self) -> dict[int, int]:
        """Voxels a predicted label, background left out, by rising id."""
        return _sizes(self.pred_ids, self.counts)

    def shared(self) -> dict[tuple[int, int], int]:
        """Voxels where truth label and predicted label meet, both not background."""
        both = (self.truth_ids > 0) & (self.pred_ids > 0)
        pairs = zip(self.truth_ids[both], self.pred_ids[both], self.counts[both], strict=True)
        return {(int(t), int(p)): int(n) for t, p, n in pairs}


def overlap(truth: Labels, pred: Labels) -> Overlap:
    """Return the joint histogram of two label maps.

    Parameters
    ----------
    truth, pred : (D, H, W) unsigned integers
        Label maps on one grid, read once, a few slices at a time.
    """
    width = int(pred.max(initial=0)) + 1
    cells = (int(truth.max(initial=0)) + 1) * width
    dense = np.zeros(cells, np.int64) if cells <= _DENSE else None
    keys: list[NDArray[np.int64]] = []
    numbers: list[NDArray[np.int64]] = []
    for first in range(0, truth.shape[0], _SLAB):
        t, p = truth[first : first + _SLAB], pred[first : first + _SLAB]
        here = (t != 0) | (p != 0)
        key = t[here].astype(np.int64) * width + p[here]
        if dense is not None:
            dense += np.bincount(key, minlength=cells)
        else:
            unique, number = np.unique(key, return_counts=True)
            keys.append(unique)
            numbers.append(number.astype(np.int64))
    if dense is not None:
        key = np.flatnonzero(dense)
        counts = dense[key]
    else:
        key, where = np.unique(np.concatenate(keys), return_inverse=True)
        counts = np.bincount(where, np.concatenate(numbers), minlength=len(key)).astype(np.int64)
    return Overlap(key // width, key % width, counts)


def boxes(labels: Labels) -> dict[int, Box]:
    """Return the smallest box that holds each label of a map, by rising id."""
    found = ndimage.find_objects(labels)
    return {label: box for label, box in enumerate(found, start=1) if box is not None}


def _sizes(ids: NDArray[np.int64], counts: NDArray[np.int64]) -> dict[int, int]:
    unique, where = np.unique(ids, return_inverse=True)
    total = np.bincount(where, counts, minlength=len(unique))
    return {int(i): int(n) for i, n in zip(unique, total, strict=True) if i > 0}
