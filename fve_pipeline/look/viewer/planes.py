"""A case as a block: where its classes occur, and the two planes that stand on the slices."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fve_pipeline.imaging.views import AXES
from fve_pipeline.store.reader import Store

__all__ = ["marks", "plane", "plane_height"]

_TALLEST = 4  # times its width: what is longer is a header's mistake


def marks(store: Store, run: range) -> list[dict[str, Any]]:
    """Return each class's ``id``, its ``slices`` within the run and the ``pixels`` there, by class id."""
    part = store.index.slice(run.start, len(run))
    found: dict[int, dict[str, Any]] = defaultdict(lambda: {"slices": [], "pixels": []})
    columns = (part.column(name).to_pylist() for name in ("class_ids", "class_pixels"))
    for place, (ids, pixels) in enumerate(zip(*columns, strict=True)):
        for class_id, count in zip(ids, pixels, strict=True):
            found[class_id]["slices"].append(place)
            found[class_id]["pixels"].append(count)
    return [{"id": class_id, **found[class_id]} for class_id in sorted(found)]


def plane_height(store: Store, run: range) -> int:
    """Return the pixels that the run's slices take at the scale of a slice's own pixels, at least one each."""
    row = store.index.slice(run.start, 1).to_pylist()[0]
    along = AXES[row["view"]]
    across = [spacing for axis, spacing in enumerate(row["spacing"]) if axis != along]
    side = max(size * spacing for size, spacing in zip(row["shape"], across, strict=True))
    size = store.settings.size
    return int(np.clip(round(len(run) * row["spacing"][along] * size / side), 1, _TALLEST * size))


def plane(volume: NDArray[np.uint8], across: str, at: int, height: int) -> NDArray[np.uint8]:
    """Return the plane (height, S) through row (``across`` "y") or column ("x") ``at`` of slices (n, S, S).

    Its first line is the last slice: for axial slices the head is up. Raises IndexError outside of the slices.
    """
    size = volume.shape[1]
    if not 0 <= at < size:
        msg = f"{across} = {at}: slices have 0 to {size - 1}"
        raise IndexError(msg)
    cut = volume[::-1, at, :] if across == "y" else volume[::-1, :, at]
    return np.asarray(
        cv2.resize(np.ascontiguousarray(cut), (size, height), interpolation=cv2.INTER_LINEAR), np.uint8
    )
