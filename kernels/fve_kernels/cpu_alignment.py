"""The best path through a table of similarities: which planes of one volume are which of another."""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["best_path"]


@numba.njit(cache=True, nogil=True)
def best_path(similarity: np.ndarray, threshold: float, skip: float) -> tuple[int, int, int, int, int, float]:
    """Return (first row, first column, last row, last column, pairs, sum of similarities) of the best local path.

    ``similarity`` (n, m) float32. A path steps by one row and one column, or by two of one of them at the price
    ``skip``; each pair adds its similarity less ``threshold``, so that a path ends where the volumes differ. No pairs
    when nothing reaches the threshold.
    """
    n, m = similarity.shape
    score = np.zeros((n + 1, m + 1), np.float32)
    total = np.zeros((n + 1, m + 1), np.float32)
    pairs = np.zeros((n + 1, m + 1), np.int32)
    start = np.zeros((n + 1, m + 1), np.int32)
    best = np.float32(0.0)
    last_row, last_column = 0, 0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            a, b = i - 1, j - 1
            before = score[a, b]
            if i > 1 and score[i - 2, j - 1] - skip > before:
                a, b, before = i - 2, j - 1, score[i - 2, j - 1] - skip
            if j > 1 and score[i - 1, j - 2] - skip > before:
                a, b, before = i - 1, j - 2, score[i - 1, j - 2] - skip
            value = before + similarity[i - 1, j - 1] - threshold
            if value <= 0:
                continue
            score[i, j] = value
            total[i, j] = total[a, b] + similarity[i - 1, j - 1]
            pairs[i, j] = pairs[a, b] + 1
            start[i, j] = start[a, b] if pairs[a, b] else (i - 1) * m + (j - 1)
            if value > best:
                best, last_row, last_column = value, i, j
    if best == 0:
        return 0, 0, 0, 0, 0, 0.0
    first = start[last_row, last_column]
    return (
        first // m,
        first % m,
        last_row - 1,
        last_column - 1,
        pairs[last_row, last_column],
        float(total[last_row, last_column]),
    )
