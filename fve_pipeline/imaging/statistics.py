"""Facts about arrays that the tables record. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from fve_kernels.cpu_statistics import LabelStatistics

__all__ = ["QUANTILES", "ClassFacts", "ImageFacts", "class_facts", "gradient_energy", "quantiles_uint8"]

QUANTILES = (0.5, 5.0, 25.0, 50.0, 75.0, 95.0, 99.5)
_EVERY = 4


class ClassFacts(BaseModel):
    """One class in one case, counted on the native grid.

    ``extent`` is the bounding box in mm, ``centroid`` the centre relative to the volume (0..1), both (z,y,x).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    class_id: int
    voxels: int
    extent: tuple[float, float, float]
    centroid: tuple[float, float, float]


class ImageFacts:
    """Facts of a (D,H,W) uint8 image, gathered slab by slab while each is in the cache: no sort, no copy."""

    def __init__(self) -> None:
        self._histogram = np.zeros(256, np.int64)
        self._slices = 0
        self._total = self._steps = 0

    def add(self, slab: npt.NDArray[np.uint8]) -> None:
        """Take the next slices."""
        from fve_kernels.cpu_statistics import histogram_uint8, squared_steps

        self._histogram += histogram_uint8(slab)
        for plane in slab[-self._slices % _EVERY :: _EVERY]:
            total, steps = squared_steps(plane)
            self._total += total
            self._steps += steps
        self._slices += len(slab)

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Values at ``QUANTILES`` percent."""
        cumulative = np.cumsum(self._histogram)
        ranks = np.array(QUANTILES) / 100 * (cumulative[-1] - 1)
        return tuple(float(value) for value in np.searchsorted(cumulative, ranks, side="right"))

    @property
    def gradient_energy(self) -> float:
        """Mean squared in-plane difference between neighbours, in grey levels squared.

        Read on every fourth slice: a descriptor, not a measurement.
        """
        return self._total / self._steps if self._steps else 0.0


def quantiles_uint8(image: npt.NDArray[np.uint8]) -> tuple[float, ...]:
    """Return the values at ``QUANTILES`` percent of a (D,H,W) uint8 image."""
    return _facts_of(image).quantiles


def gradient_energy(image: npt.NDArray[np.uint8]) -> float:
    """Return :attr:`ImageFacts.gradient_energy` of a whole (D,H,W) image."""
    return _facts_of(image).gradient_energy


def _facts_of(image: npt.NDArray[np.uint8]) -> ImageFacts:
    facts = ImageFacts()
    facts.add(image)
    return facts


def class_facts(
    found: LabelStatistics,
    classes: Sequence[tuple[int, Sequence[int]]],
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
) -> tuple[ClassFacts, ...]:
    """Size and place of each class of a label map (z,y,x); classes that are absent are left out.

    ``classes`` gives (class id, label ids that make it up); no label ids means every id above 0, as in
    instance data. ``spacing`` is (z,y,x) in mm.
    """
    present = {int(label) for label in np.flatnonzero(found.counts) if label > 0}
    facts = []
    for class_id, ids in classes:
        members = sorted(present.intersection(ids) if ids else present)
        if not members:
            continue
        voxels = int(found.counts[members].sum())
        extent = found.high[members].max(axis=0) - found.low[members].min(axis=0) + 1
        centroid = found.sums[members].sum(axis=0) / voxels
        facts.append(
            ClassFacts(
                class_id=class_id,
                voxels=voxels,
                extent=_triple(extent * np.array(spacing)),
                centroid=_triple((centroid + 0.5) / np.array(shape)),
            )
        )
    return tuple(facts)


def _triple(values: npt.NDArray[Any]) -> tuple[float, float, float]:
    z, y, x = (round(float(value), 6) for value in values)
    return z, y, x
