"""A volume's slices at the model's size, as the released model's prediction makes them, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

__all__ = ["Square", "square_slices"]


@dataclass(frozen=True)
class Square:
    """Where (H,W) slices lie inside the padded square of side ``side``."""

    height: int
    width: int
    side: int
    top: int
    left: int

    def restore(self, labels: NDArray[np.integer]) -> NDArray[np.integer]:
        """Label slices (D,S,S) -> (D,H,W): nearest to the square's side, padding cut off."""
        floats = torch.from_numpy(labels.astype(np.float32))[None]
        square = F.interpolate(floats, size=(self.side, self.side), mode="nearest")[0]
        inside = square[:, self.top : self.top + self.height, self.left : self.left + self.width]
        restored: NDArray[np.integer] = inside.numpy().astype(labels.dtype)
        return restored


def square_slices(volume: NDArray[np.uint8], size: int = 512) -> tuple[NDArray[np.uint8], Square]:
    """``volume`` (D,H,W) uint8, sliced axis first -> (D,size,size) uint8 and the way back.

    Zeros pad to an exact square, the odd one at the end; torch's own uint8 bicubic kernel resizes, which
    rounds between its two passes and differs from a rounded float resize by up to 27 grey levels on noise.

    Raises
    ------
    TypeError
        If the volume is not uint8: a float volume overshoots in bicubic and is another result.
    """
    if volume.dtype != np.uint8:
        msg = f"slices to resize are {volume.dtype}; expected uint8: apply an intensity rule first"
        raise TypeError(msg)
    _, height, width = volume.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    padded = np.pad(volume, ((0, 0), (top, side - height - top), (left, side - width - left)))
    tensor = torch.from_numpy(padded)[None]
    resized = F.interpolate(tensor, size=(size, size), mode="bicubic", align_corners=False)[0]
    return resized.numpy(), Square(height, width, side, top, left)
