"""Pad slices to a square, resize them, and the exact way back for masks.

Two methods, by name. ``opencv`` pads exactly, at the end, and keeps images and masks aligned. ``released`` is
how the released model's training slices were made: half of the difference, rounded down, on both sides (an
odd difference leaves one pixel, which the resize stretches), and masks by INTER_NEAREST, which lie half a
pixel off the cubic images.

Masks go back through the very map that OpenCV sampled them with, so whatever survived the way forward comes
back where it was: everything, when the size is at least the padded side.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Fit", "ResizeMethod"]

ResizeMethod = Literal["opencv", "released"]

_MASK_MODE = {"opencv": cv2.INTER_NEAREST_EXACT, "released": cv2.INTER_NEAREST}


@dataclass(frozen=True)
class Fit:
    """How slices of ``shape`` (H, W) become (size, size).

    Meant for one thread: OpenCV's own threads are left as the caller set them.

    >>> fit = Fit((20, 30), 32)
    >>> fit.padded, fit.images(np.zeros((5, 20, 30), np.uint8)).shape
    ((30, 30), (5, 32, 32))
    >>> masks = np.arange(20 * 30, dtype=np.uint16).reshape(1, 20, 30)
    >>> bool((fit.restore_masks(fit.masks(masks)) == masks).all())
    True
    """

    shape: tuple[int, int]
    size: int
    method: ResizeMethod = "opencv"

    @property
    def offset(self) -> tuple[int, int]:
        """Rows and columns of padding before the slice."""
        if self.method == "opencv":
            return 0, 0
        height, width = self.shape
        return max(width - height, 0) // 2, max(height - width, 0) // 2

    @property
    def padded(self) -> tuple[int, int]:
        """Shape after padding: square, but for ``released`` with an odd difference (one pixel short)."""
        height, width = self.shape
        if self.method == "opencv":
            return max(self.shape), max(self.shape)
        rows, columns = self.offset
        return height + 2 * rows, width + 2 * columns

    def images(self, slices: NDArray[np.uint8], out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Grey slices (n, H, W) uint8 to (n, size, size), by cubic interpolation.

        Slices that already fit are returned as they are, or copied into ``out``.
        """
        return self._resize(slices, cv2.INTER_CUBIC, out)

    def masks(self, slices: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Label slices (n, H, W) uint8 or uint16 to (n, size, size): ids are picked, never mixed.

        Slices that already fit are returned as they are, or copied into ``out``.
        """
        return self._resize(slices, _MASK_MODE[self.method], out)

    def restore_masks(self, slices: NDArray[Any]) -> NDArray[Any]:
        """Label slices (n, size, size) of any dtype back to (n, H, W).

        ``restore_masks(masks(x))`` equals x when ``size`` is at least the padded side, and
        ``masks(restore_masks(y))`` equals y, inside the unpadded part, when it is at most that.
        """
        (top, left), (height, width) = self.offset, self.shape
        rows = _way_back(self.padded[0], self.size, self.method)[top : top + height]
        columns = _way_back(self.padded[1], self.size, self.method)[left : left + width]
        return np.take(np.take(slices, rows, axis=1), columns, axis=2)

    def restore_images(self, slices: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Grey slices (n, size, size) uint8 back to (n, H, W), without padding.

        Enlarged slices are averaged over areas, reduced ones interpolated; unlike masks they do not come back
        exactly, unless ``size`` is the padded side.
        """
        (top, left), (height, width), (rows, columns) = self.offset, self.shape, self.padded
        mode = cv2.INTER_AREA if self.size > max(self.padded) else cv2.INTER_CUBIC
        out = np.empty((len(slices), height, width), np.uint8)
        for source, target in zip(slices, out, strict=True):
            padded = (
                source
                if source.shape == self.padded
                else cv2.resize(source, (columns, rows), interpolation=mode)
            )
            target[:] = padded[top : top + height, left : left + width]
        return out

    def _resize(self, slices: NDArray[Any], mode: int, out: NDArray[Any] | None) -> NDArray[Any]:
        size, (top, left), (height, width) = self.size, self.offset, self.shape
        if slices.shape[1:] != self.shape:
            msg = f"slices of {slices.shape[1:]} given to a fit for {self.shape}"
            raise ValueError(msg)
        if out is None:
            if self.shape == (size, size):
                return slices
            out = np.empty((len(slices), size, size), slices.dtype)
        if self.padded == (size, size):
            out[:] = 0
            out[:, top : top + height, left : left + width] = slices
            return out
        padded = np.zeros(self.padded, slices.dtype)
        inside = padded[top : top + height, left : left + width]
        for source, target in zip(slices, out, strict=True):
            inside[:] = source
            if cv2.resize(padded, (size, size), dst=target, interpolation=mode) is not target:
                # OpenCV writes into its own array when it cannot write into ours.
                msg = f"out of dtype {out.dtype} and strides {out.strides} cannot hold resized {slices.dtype}"
                raise ValueError(msg)
        return out


@lru_cache(maxsize=256)
def _way_back(side: int, size: int, method: ResizeMethod) -> NDArray[np.intp]:
    """For each of ``side`` positions, the one of ``size`` positions that holds it, or lies nearest to it."""
    ramp = np.arange(side, dtype=np.float32)[None]
    taken = cv2.resize(ramp, (size, 1), interpolation=_MASK_MODE[method])[0].astype(np.intp)
    wanted = np.arange(side)
    first = np.searchsorted(taken, wanted, side="left")
    after = np.searchsorted(taken, wanted, side="right")
    below, above = np.maximum(first - 1, 0), np.minimum(first, size - 1)
    nearest = np.where(wanted - taken[below] <= taken[above] - wanted, below, above)
    nearest = np.where(taken[above] < wanted, above, nearest)
    back = np.where(after > first, (first + after) // 2, nearest)
    back.setflags(write=False)
    return back
