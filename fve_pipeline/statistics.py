"""Facts about arrays that the tables record. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt

from fve_pipeline.facts import ClassFacts

__all__ = ["QUANTILES", "class_facts", "gradient_energy", "quantiles_uint8"]

QUANTILES = (0.5, 5.0, 25.0, 50.0, 75.0, 95.0, 99.5)


def quantiles_uint8(image: npt.NDArray[np.uint8]) -> tuple[float, ...]:
    """Values at ``QUANTILES`` percent of a uint8 array, from its histogram: no sort, no copy."""
    counts = np.zeros(256, dtype=np.int64)
    for plane in image:
        counts += np.bincount(plane.reshape(-1), minlength=256)
    ranks = np.array(QUANTILES) / 100 * (image.size - 1)
    return tuple(float(value) for value in np.searchsorted(np.cumsum(counts), ranks, side="right"))


def gradient_energy(image: npt.NDArray[np.uint8]) -> float:
    """Mean squared in-plane difference between neighbours, in grey levels squared, of a (D,H,W) image.

    Read on every fourth slice: a descriptor, not a measurement.
    """
    total = 0.0
    count = 0
    for plane in image[::4]:
        levels = plane.astype(np.int32)
        for difference in (np.diff(levels, axis=0), np.diff(levels, axis=1)):
            total += float(np.sum(difference * difference, dtype=np.int64))
            count += difference.size
    return total / count if count else 0.0


def class_facts(
    labels: npt.NDArray[Any],
    classes: Sequence[tuple[int, Sequence[int]]],
    spacing: tuple[float, float, float],
) -> tuple[ClassFacts, ...]:
    """Size and place of each class of a (D,H,W) label map; classes that are absent are left out.

    ``classes`` gives (class id, label ids that make it up); no label ids means every id above 0, as in
    instance data. ``spacing`` is (z,y,x) in mm. One pass over the labels.
    """
    found = cc3d.statistics(labels)
    counts = found["voxel_counts"]
    present = {int(label) for label in np.flatnonzero(counts) if label > 0}
    facts = []
    for class_id, ids in classes:
        members = sorted(present.intersection(ids) if ids else present)
        if not members:
            continue
        boxes = [found["bounding_boxes"][label] for label in members]
        low = np.array([[side.start for side in box] for box in boxes]).min(axis=0)
        high = np.array([[side.stop for side in box] for box in boxes]).max(axis=0)
        voxels = counts[members].astype(np.int64)
        centroid = (found["centroids"][members] * voxels[:, None]).sum(axis=0) / voxels.sum()
        facts.append(
            ClassFacts(
                class_id=class_id,
                voxels=int(voxels.sum()),
                extent=_triple((high - low) * np.array(spacing)),
                centroid=_triple((centroid + 0.5) / np.array(labels.shape)),
            )
        )
    return tuple(facts)


def _triple(values: npt.NDArray[Any]) -> tuple[float, float, float]:
    z, y, x = (round(float(value), 6) for value in values)
    return z, y, x
