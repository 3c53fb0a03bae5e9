"""How far labels and predicted labels agree, slice by slice and class by class."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Agreement", "agreement"]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Pixels of a class in each of n slices: where it is, where it was predicted, and where both, each (n,) int64."""

    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    both: NDArray[np.int64]

    @property
    def dice(self) -> float | None:
        """Dice over all slices; None where the class is in neither."""
        total = int(self.truth.sum() + self.predicted.sum())
        return 2 * int(self.both.sum()) / total if total else None

    @property
    def slices(self) -> list[float | None]:
        """Dice of each slice; None where the class is in neither."""
        totals = (self.truth + self.predicted).tolist()
        return [
            2 * both / total if total else None
            for both, total in zip(self.both.tolist(), totals, strict=True)
        ]


def agreement(
    truth: NDArray[Any],
    predicted: NDArray[Any],
    classes: Mapping[int, tuple[Collection[int], Collection[int]]],
) -> dict[int, Agreement]:
    """Count in slices (n, S, S). ``classes``: by class id, the mask values and the predicted values that are its.

    Each slice's pairs of values are counted once, however many classes there are.
    """
    found = {class_id: np.zeros((3, len(truth)), np.int64) for class_id in classes}
    for place, (one, other) in enumerate(zip(truth, predicted, strict=True)):
        values, here = np.unique(one, return_inverse=True)
        others, there = np.unique(other, return_inverse=True)
        pairs = np.bincount(
            here.ravel() * len(others) + there.ravel(), minlength=len(values) * len(others)
        ).reshape(len(values), len(others))
        for class_id, (own, given) in classes.items():
            rows, columns = _in(values, own), _in(others, given)
            found[class_id][:, place] = (
                pairs[rows].sum(),
                pairs[:, columns].sum(),
                pairs[np.ix_(rows, columns)].sum(),
            )
    return {class_id: Agreement(*counts) for class_id, counts in found.items()}


def _in(values: NDArray[Any], ids: Collection[int]) -> NDArray[np.bool_]:
    wanted: Sequence[int] = sorted(ids)
    return np.isin(values, wanted)
