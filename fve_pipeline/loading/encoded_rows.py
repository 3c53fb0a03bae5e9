"""Encoded images of some slices of a run, from either form of storage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fve_pipeline.imaging.encoding import context_depth, encode
from fve_pipeline.store.reader import Store

__all__ = ["encoded_rows"]


def encoded_rows(
    store: Store, run: range, places: Sequence[int], order: int | None = None
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Images (n,S,S,3) of slices ``places`` of a run, counted from its first.

    ``order`` is the store's unless it is given; another one makes the images anew from the focal slices.
    """
    settings = store.settings
    order = settings.order if order is None else order
    if settings.storage == "encoded" and order == settings.order:
        return store.pixel_rows.take([run[place] for place in places])
    depth = context_depth(order)
    images = []
    for place in places:
        low, high = max(0, place - depth), min(len(run), place + depth + 1)
        slab = store.read_slices(run.start + low, run.start + high)
        focal = np.array([place - low])
        images.append(encode(slab, order, settings.boundary, settings.downsample, focal=focal)[0])
    return np.stack(images)
