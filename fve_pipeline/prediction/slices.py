"""A view's slices at the model's size, and the way back for its label maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.imaging.resample import Fit
from fve_pipeline.prediction.settings import SliceSettings

__all__ = ["WayBack", "fit_slices"]

WayBack = Callable[[NDArray[Any]], NDArray[Any]]

_PIECE = 16


def fit_slices(slices: NDArray[np.uint8], settings: SliceSettings) -> tuple[NDArray[np.uint8], WayBack]:
    """Slices (D,H,W) -> (D,S,S), and what takes maps (D,S,S) back to (D,H,W), a few slices at a time.

    ``released`` is how the released model predicts: padding to an exact square and torch's uint8 bicubic,
    which is not how its training slices were made (OpenCV). ``opencv`` is the same in both.
    """
    if settings.resize == "released":
        from fve_pipeline.segmenter.preprocess import square_slices

        fitted, square = square_slices(np.ascontiguousarray(slices), settings.size)
        restore: WayBack = square.restore
    else:
        fit = Fit((slices.shape[1], slices.shape[2]), settings.size, settings.resize)
        fitted, restore = fit.images(np.ascontiguousarray(slices)), fit.restore_masks

    def back(maps: NDArray[Any]) -> NDArray[Any]:
        out = np.empty(slices.shape, maps.dtype)
        for first in range(0, len(maps), _PIECE):
            out[first : first + _PIECE] = restore(maps[first : first + _PIECE])
        return out

    return fitted, back
