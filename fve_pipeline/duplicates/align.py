"""How alike two fingerprints are, once they are laid upon each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_kernels.cpu_alignment import best_path
from fve_pipeline.duplicates.hashes import FLIPS

__all__ = ["Likeness", "compare"]

# Of the difference that half a cell's shift makes: followed-up scans differ by more, disguises by less.
_SAME, _SAME_OF_FEW = 0.95, 0.8
_FEW = 8  # planes
_THRESHOLD = 0.5
_SKIP = 0.1
_FAINT = 320.0  # length of a plane's values below which there is nothing to compare


@dataclass(frozen=True, slots=True)
class Likeness:
    """How two fingerprints lie upon each other.

    ``score`` is the mean correlation of the planes that are laid on each other, times the share of the shorter one's that
    they are; from ``needed`` on, both show one scan: by then they are more alike than either is to itself half a cell
    aside. Planes ``first`` (from, to) of the one are planes ``second`` of the other, both ends included; ``flipped``
    names the axes, of z, y, x, along which the second runs backwards.
    """

    score: float
    needed: float
    planes: int
    first: tuple[int, int]
    second: tuple[int, int]
    flipped: str

    @property
    def same(self) -> bool:
        """Whether both show one scan."""
        return self.planes > 0 and self.score >= self.needed


def compare(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Likeness:
    """Return how alike two fingerprints (planes, 32, 32) are, whichever of the second's axes are turned round.

    Planes without structure are left out.
    """
    (own, mine), (other, theirs) = _visible(first), _visible(second)
    if not (len(mine) and len(theirs)):
        return Likeness(0.0, 1.0, 0, (0, 0), (0, 0), "")
    part = _SAME_OF_FEW if min(len(mine), len(theirs)) < _FEW else _SAME
    needed = 1 - part * (1 - min(_aside(own), _aside(other)))
    flat, best = _unit(own), Likeness(0.0, needed, 0, (0, 0), (0, 0), "")
    for rows, columns in FLIPS:
        similarity = flat @ _unit(other[:, :: -1 if rows else 1, :: -1 if columns else 1]).T
        for backwards in (False, True):
            table = np.ascontiguousarray(similarity[:, :: -1 if backwards else 1])
            a, b, c, d, pairs, total = best_path(table, _THRESHOLD, _SKIP)
            score = total / max(pairs, 1) * min(1.0, pairs / min(table.shape))
            if score <= best.score:
                continue
            ends = (len(theirs) - 1 - d, len(theirs) - 1 - b) if backwards else (b, d)
            names = "".join(axis for axis, on in zip("zyx", (backwards, rows, columns), strict=True) if on)
            laid = (int(mine[a]), int(mine[c])), (int(theirs[ends[0]]), int(theirs[ends[1]]))
            best = Likeness(score, needed, pairs, *laid, names)
    return best


def _visible(planes: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return the planes that have structure, about 0, and which they are."""
    values = planes.astype(np.float32) - 128
    kept = np.flatnonzero(np.linalg.norm(values, axis=(1, 2)) >= _FAINT)
    return values[kept], kept


def _unit(values: NDArray[Any]) -> NDArray[np.float32]:
    flat = values.reshape(len(values), -1)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6), np.float32)


def _aside(values: NDArray[np.float32]) -> float:
    """Return how alike planes are to themselves half a cell aside, on average."""
    found = []
    for turned in (values, values.transpose(0, 2, 1)):
        here, there = turned[:, :, :-1], (turned[:, :, :-1] + turned[:, :, 1:]) / 2
        found.append((_unit(here) * _unit(there)).sum(axis=1).mean())
    return float(np.mean(found))
