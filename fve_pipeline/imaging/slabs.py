"""A turned volume slab by slab: converted, flipped and handed on while it is in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["plain_slabs"]

# What cv2.flip calls flips of (y, x).
_FLIPS = {(True, False): 0, (False, True): 1, (True, True): -1}


def _cast(part: NDArray[Any], out: NDArray[Any]) -> None:
    np.copyto(out, part, casting="unsafe")


def plain_slabs(
    volume: NDArray[Any],
    slices: int,
    convert: Callable[[NDArray[Any], NDArray[Any]], object] = _cast,
    dtype: DTypeLike = np.uint8,
) -> Iterator[NDArray[Any]]:
    """Yield a volume (z,y,x), a view with any strides, as C-contiguous slabs of ``slices`` slices.

    ``convert(part, out)`` makes ``dtype``, uint8 or uint16, of a part, value by value; values that are of it already are
    kept. A slab is good until the next one is asked for. Values are converted in the order in which they lie in memory,
    and flipped when they are small.
    """
    depth, height, width = volume.shape
    backwards, y, x = (stride < 0 for stride in volume.strides)
    unflipped = volume[:, :: -1 if y else 1, :: -1 if x else 1]
    converted = np.empty((min(depth, slices), height, width), dtype)
    slab = np.empty_like(converted)
    for first in range(0, depth, slices):
        part = unflipped[first : first + slices]
        n = len(part)
        if backwards:
            part = part[::-1]
        if not (part.flags.c_contiguous and (backwards or y or x)):
            convert(volume[first : first + slices], slab[:n])
        else:
            if part.dtype == slab.dtype:
                planes = part
            else:
                planes = converted[:n]
                convert(part, planes)
            for place, plane in enumerate(planes):
                target = slab[n - 1 - place if backwards else place]
                if y or x:
                    cv2.flip(plane, _FLIPS[y, x], dst=target)
                else:
                    np.copyto(target, plane)
        yield slab[:n]
