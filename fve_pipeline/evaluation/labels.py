"""From an array as it was read to a label map: checked, or cast as the official evaluator casts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import EvaluationError

__all__ = ["whole_labels", "wrapped_labels"]


def whole_labels(array: NDArray[np.generic], path: Path) -> NDArray[np.unsignedinteger]:
    """Return the label map as uint8, or as uint16 where it has ids above 255.

    Raises
    ------
    EvaluationError
        For a value that is no id from 0 to 65535.
    """
    if array.dtype == np.uint8:
        return array.astype(np.uint8, copy=False)
    whole = array.dtype.kind in "iu" or bool((array == np.trunc(array)).all())
    low, high = float(array.min()), float(array.max())
    if not (whole and low >= 0 and high <= 65535):
        what = f"values from {low:g} to {high:g}" + ("" if whole else ", not all whole numbers")
        msg = f"{path}: holds {what} ({array.dtype}); expected label ids from 0 to 65535. Give a label map."
        raise EvaluationError(msg)
    return array.astype(np.uint8 if high <= 255 else np.uint16)


def wrapped_labels(array: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    """Return the label map as the official evaluator's cast to uint8 leaves it.

    Fractions are cut off and ids taken modulo 256: 257 becomes 1, 1.9 becomes 1, -1 becomes 255.

    Raises
    ------
    EvaluationError
        For a value beyond 64 bits, whose cast no standard defines.
    """
    if array.dtype.kind == "f":
        if not (np.abs(array) < 2.0**63).all():
            msg = (
                f"{path}: holds values beyond 64 bits ({array.dtype}); expected label ids. Give a label map."
            )
            raise EvaluationError(msg)
        array = array.astype(np.int64)
    return array.astype(np.uint8, copy=False)
