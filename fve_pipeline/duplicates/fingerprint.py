"""A fingerprint: a small volume that stays what it is when a scan is cropped in z, resampled or windowed anew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["SIDE", "Fingerprinter", "fingerprint"]

SIDE = 32
_OFFSETS = (-0.8, -0.4, 0.0, 0.4, 0.8)  # of a cell: where each plane is looked at
_BLUR = 2.0  # in cells
_FLOOR = 0.04  # contrast, in shares of the grey levels' ranks, below which there is little to see
_MOST = 0.02  # share of a slice that one grey level counts for: air's noise is nobody's mark
_GREY = 40.0  # steps of the stored values a unit of local contrast


class Fingerprinter:
    """Makes a fingerprint of a volume (z,y,x) uint8 from the slices that it needs.

    A plane has 32² cells over the whole field of view; planes follow each other at half a cell's width, in mm, so that
    a crop in z or other slices give the same planes again. Each slice's grey levels are replaced by their ranks, which no
    window changes where it does not saturate; then what is smooth is taken out and the local contrast made even.
    """

    def __init__(self, shape: Sequence[int], spacing: Sequence[float]) -> None:
        depth, height, width = shape
        z, y, x = spacing
        cell = math.sqrt(height * y * width * x) / SIDE
        step = cell / 2
        count = max(1, int(depth * z / step + 1e-6))
        self._depth = depth
        self._spread = cell / z
        self._middles = (np.arange(count) + 0.5) * step / z - 0.5 if depth * z >= step else [(depth - 1) / 2]
        self._stride = (slice(None, None, max(1, height // 256)), slice(None, None, max(1, width // 256)))
        self._small: dict[int, NDArray[np.float32]] = {}

    @property
    def needed(self) -> list[int]:
        """The slices that are looked at, in order."""
        return sorted({k for middle in self._middles for k, _ in self._taken(middle)})

    def middle(self, plane: int) -> int:
        """Return the slice in the middle of a plane."""
        return min(max(round(float(self._middles[plane])), 0), self._depth - 1)

    def add(self, number: int, plane: NDArray[np.uint8]) -> None:
        """Take one slice (y,x), one of those that are needed."""
        ranks = _ranks(np.ascontiguousarray(plane[self._stride]))
        self._small[number] = np.asarray(cv2.resize(ranks, (SIDE, SIDE), interpolation=cv2.INTER_AREA))

    def planes(self) -> NDArray[np.uint8]:
        """Return the fingerprint, (planes, 32, 32) uint8 about 128, once all slices were taken."""
        out = np.empty((len(self._middles), SIDE, SIDE), np.uint8)
        for place, middle in enumerate(self._middles):
            mean = sum(weight * self._small[k] for k, weight in self._taken(middle))
            out[place] = np.clip(np.rint(_detail(np.asarray(mean, np.float32)) * _GREY + 128), 1, 255)
        return out

    def _taken(self, middle: float) -> list[tuple[int, float]]:
        """Slices and weights of the plane about ``middle``, in slices: near ones where there are many, else between two."""
        taken = []
        for offset in _OFFSETS:
            at = min(max(middle + offset * self._spread, 0.0), self._depth - 1.0)
            below = math.floor(at)
            if self._spread > 2:
                taken.append((round(at), 1 / len(_OFFSETS)))
            else:
                taken.append((below, (below + 1 - at) / len(_OFFSETS)))
                taken.append((min(below + 1, self._depth - 1), (at - below) / len(_OFFSETS)))
        return taken


def fingerprint(image: NDArray[np.uint8], spacing: Sequence[float]) -> NDArray[np.uint8]:
    """Return the fingerprint of a volume (z,y,x) uint8 with ``spacing`` (z,y,x) in mm: (planes, 32, 32) uint8.

    >>> fingerprint(np.zeros((40, 64, 64), np.uint8), (1.0, 1.0, 1.0)).shape
    (40, 32, 32)
    """
    maker = Fingerprinter(image.shape, spacing)
    for number in maker.needed:
        maker.add(number, image[number])
    return maker.planes()


def _ranks(plane: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grey levels as mean ranks among the slice's, from 0 to 1, no level counting for more than a little."""
    shares = np.minimum(np.bincount(plane.ravel(), minlength=256) / plane.size, _MOST)
    table = ((np.cumsum(shares) - shares / 2) / shares.sum()).astype(np.float32)
    return np.asarray(cv2.LUT(plane, table))


def _detail(plane: NDArray[np.float32]) -> NDArray[Any]:
    smooth = cv2.GaussianBlur(plane, (0, 0), _BLUR, borderType=cv2.BORDER_REFLECT_101)
    detail = plane - smooth
    power = cv2.GaussianBlur(detail * detail, (0, 0), 1.5 * _BLUR, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(detail / np.sqrt(power + _FLOOR**2))
