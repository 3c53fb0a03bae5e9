"""Rows of a plane interpolated between, planes taken apart and put together: the moves that augmentations make."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from fve_kernels.compiling import compile_kernel, read_only

__all__ = ["interpolate_rows", "split_channels", "swap_context"]

Bytes = NDArray[np.uint8]


def _interpolate(plane: Bytes, above: NDArray[np.int64], weight: NDArray[np.uint16], out: Bytes) -> None:
    height, width = plane.shape
    nothing = np.zeros(width, np.uint8)
    for row in range(len(above)):
        first, second = above[row], above[row] + 1
        a = plane[first] if 0 <= first < height else nothing
        b = plane[second] if 0 <= second < height else nothing
        line, right = out[row], weight[row]
        left = np.uint16(256) - right
        for i in range(width):
            line[i] = np.uint16(np.uint16(a[i] * left) + np.uint16(b[i] * right) + 128) >> 8


_interpolate_kernel = compile_kernel(
    _interpolate,
    numba.void(read_only(np.uint8, 2), numba.int64[::1], numba.uint16[::1], numba.uint8[:, ::1]),
)


def interpolate_rows(plane: NDArray[np.uint8], places: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return a row for each of ``places`` (m,), counted in rows of ``plane`` (H, W) uint8: (m, W).

    Linear between the two nearest rows, their weights rounded to 1/256, values half up. Rows outside are 0.
    """
    above = np.floor(places).astype(np.int64)
    weight = np.rint(256 * (places - above)).astype(np.uint16)
    out = np.empty((len(above), plane.shape[1]), np.uint8)
    _interpolate_kernel(plane, above, weight, out)
    return out


def _split(image: Bytes, out: Bytes) -> None:
    first, second, third = out[0], out[1], out[2]
    for i in range(first.size):
        first[i] = image[3 * i]
        second[i] = image[3 * i + 1]
        third[i] = image[3 * i + 2]


_split_kernel = compile_kernel(_split, numba.void(read_only(np.uint8), numba.uint8[:, ::1]))


def split_channels(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the channels of an image (H, W, 3) uint8, each in one piece: (3, H, W)."""
    height, width, channels = image.shape
    out = np.empty((channels, height, width), np.uint8)
    _split_kernel(image.reshape(-1), out.reshape(channels, -1))
    return out


def _swap(image: Bytes) -> None:
    for i in range(image.size // 3):
        before, after = image[3 * i + 1], image[3 * i + 2]
        image[3 * i + 1] = after
        image[3 * i + 2] = before


_swap_kernel = compile_kernel(_swap, numba.void(numba.uint8[::1]))


def swap_context(image: NDArray[Any]) -> None:
    """Exchange channels 1 and 2 of an encoded image (H, W, 3) uint8 in place: the slices before and after."""
    _swap_kernel(image.reshape(-1))
