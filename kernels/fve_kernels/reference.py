"""Fractal Volumetric Encoding in numpy, line by line after Algorithm 1 of the paper: the oracle.

Slow and plain on purpose. The compiled kernels share no line with it but the checks of their input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_kernels.geometry import context_depth, plan

__all__ = ["encode", "fractal_encode", "halve", "pixel_mix"]

Image = NDArray[np.uint8]


def halve(image: Image, downsample: str) -> Image:
    """Half the size on both axes: the mean of 2×2 rounded half up, or the top-left voxel."""
    if downsample == "stride":
        return image[0::2, 0::2]
    wide = image.astype(np.uint16)
    a, b, c, d = wide[0::2, 0::2], wide[0::2, 1::2], wide[1::2, 0::2], wide[1::2, 1::2]
    return ((a + b + c + d + 2) >> 2).astype(np.uint8)


def pixel_mix(m1: Image, m2: Image, m3: Image, m4: Image) -> Image:
    """Four images (h, w) interleaved into one (2h, 2w)."""
    mixed = np.empty((2 * m1.shape[0], 2 * m1.shape[1]), np.uint8)
    mixed[0::2, 0::2] = m1
    mixed[0::2, 1::2] = m2
    mixed[1::2, 0::2] = m3
    mixed[1::2, 1::2] = m4
    return mixed


def fractal_encode(imgs: Sequence[Image], k: int, downsample: str = "mean") -> Image:
    """Algorithm 1: one side's slices, ordered by their distance from the focal slice, into one image."""
    if k > 1:
        imgs_low = [halve(img, downsample) for img in imgs]
        m1, m2, m3 = imgs_low[:3]
        m4 = fractal_encode(imgs_low[3:], k - 1, downsample)
        return pixel_mix(m1, m2, m3, m4)
    else:
        return imgs[0]


def encode(
    volume: Image,
    order: int = 1,
    boundary: str = "repeat",
    downsample: str = "mean",
    *,
    focal: Sequence[int] | NDArray[Any] | None = None,
    out: Image | None = None,
    layout: str = "hwc",
) -> Image:
    """Encode each focal slice of a volume (D, H, W) uint8; (n, H, W, 3), or (n, 3, H, W) for ``chw``.

    Channels are the focal slice, the encoded slices before it, and those after it.
    """
    job = plan(volume, order, boundary, downsample, focal, layout, out)
    encoded = np.empty(job.out_shape, np.uint8) if out is None else out
    for row, index in enumerate(job.focal):
        channels = [volume[index]] * 3
        if order > 0:
            before, after = _sides(volume, int(index), context_depth(order), boundary)
            channels[1:] = [fractal_encode(imgs, order, downsample) for imgs in (before, after)]
        encoded[row] = np.stack(channels, axis=0 if layout == "chw" else -1)
    return encoded


def _sides(volume: Image, index: int, depth: int, boundary: str) -> tuple[list[Image], list[Image]]:
    """The ``depth`` slices before and after ``index``, nearest first, made up past the volume's ends."""
    if boundary == "mirror":
        order = np.pad(np.arange(len(volume)), depth, mode="reflect")
        centre = index + depth
        before = [volume[order[centre - d]] for d in range(1, depth + 1)]
        after = [volume[order[centre + d]] for d in range(1, depth + 1)]
        return before, after
    sides = (list(volume[:index][::-1]), list(volume[index + 1 :]))
    for side in sides:
        last = side[-1] if side else volume[index]
        side.extend([last] * (depth - len(side)))
    return sides
