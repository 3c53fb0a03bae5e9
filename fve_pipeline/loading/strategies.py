"""What an epoch is made of: groups of samples and the share that each gets. Pure, over the index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import LoadingError
from fve_pipeline.loading.samples import SampleIndex

__all__ = [
    "ClassBalanced",
    "Combined",
    "Groups",
    "Once",
    "Positives",
    "Stores",
    "Strategy",
    "Tempered",
    "Views",
]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """``members[g]`` are samples, none empty; ``shares[g]``, summing to 1, is the group's part of an epoch."""

    members: tuple[Ints, ...]
    shares: NDArray[np.float64]


class Strategy(Protocol):
    """Turns the chosen samples into groups with shares."""

    def groups(self, index: SampleIndex, chosen: Ints) -> Groups:
        """Return groups of the chosen samples, and how often each is drawn."""
        ...


class _Split(Protocol):
    def labels(self, index: SampleIndex, chosen: Ints) -> tuple[Ints, NDArray[np.float64]]: ...


@dataclass(frozen=True)
class Once:
    """Every sample once an epoch."""

    def groups(self, index: SampleIndex, chosen: Ints) -> Groups:  # noqa: ARG002
        """Return groups of the chosen samples, and how often each is drawn."""
        return Groups((chosen,), np.ones(1))


@dataclass(frozen=True)
class Tempered:
    """Datasets by their size to the power ``alpha``: 1 as they are, 0 all alike."""

    alpha: float = 0.5

    def labels(self, index: SampleIndex, chosen: Ints) -> tuple[Ints, NDArray[np.float64]]:
        """Return a group number a chosen sample, and a weight a group."""
        codes = index.dataset[chosen]
        sizes = np.bincount(codes, minlength=len(index.names["dataset"])).astype(float)
        return codes, np.where(sizes > 0, np.maximum(sizes, 1) ** self.alpha, 0.0)

    def groups(self, index: SampleIndex, chosen: Ints) -> Groups:
        """Return groups of the chosen samples, and how often each is drawn."""
        return Combined((self,)).groups(index, chosen)


@dataclass(frozen=True)
class Positives:
    """Samples that hold a class to samples that hold none, as ``ratio`` to 1."""

    ratio: float = 1.0

    def labels(self, index: SampleIndex, chosen: Ints) -> tuple[Ints, NDArray[np.float64]]:
        """Return a group number a chosen sample, and a weight a group."""
        return index.holds_any[chosen].astype(np.int64), np.array([1.0, self.ratio])

    def groups(self, index: SampleIndex, chosen: Ints) -> Groups:
        """Return groups of the chosen samples, and how often each is drawn."""
        return Combined((self,)).groups(index, chosen)


@dataclass(frozen=True)
class Views:
    """Views by weight; one that is not named is left out."""

    weights: Mapping[str, float]

    def labels(self, index: SampleIndex, chosen: Ints) -> tuple[Ints, NDArray[np.float64]]:
        """Return a group number a chosen sample, and a weight a group."""
        return index.view[chosen], _named(self.weights, index.names["view"], "view")

    def groups(self, index: SampleIndex, chosen: Ints) -> Groups:
        """Return groups of the chosen samples, and how often each is drawn."""
        return Combined((self,)).groups(index, chosen)


@dataclass(frozen=True)
class Stores:
    """Stores by weight, in the order they were opened."""

    weights: tuple[float, ...]

    def labels(self, index: SampleIndex, chosen: Ints) -> tuple[Ints, NDArray[np.float64]]:
        """Return a group number a chosen sample, and a weight a group."""
        stores = len(index.offsets) - 1
        if len(self.weights) != stores:
            msg = f"{len(self.weights)} weights for {stores} stores; give one a store"
            raise LoadingError(msg)
        return index.store[chosen], np.array(self.weights, float)

    def groups(self, index: SampleIndex, chosen: Ints) -> Groups:
        """Return groups of the chosen samples, and how often each is drawn."""
        return Combined((self,)).groups(index, chosen)


@dataclass(frozen=True)
class Combined:
    """Several divisions at once: a group for each combination that occurs, by the product of its weights."""

    parts: tuple[_Split, ...]

    def groups(self, index: SampleIndex, chosen: Ints) -> Groups:
        """Return groups of the chosen samples, and how often each is drawn."""
        code, weight = np.zeros(len(chosen), np.int64), np.ones(1)
        for part in self.parts:
            if not hasattr(part, "labels"):
                msg = f"{type(part).__name__} draws samples more than once and cannot be combined with others"
                raise LoadingError(msg)
            labels, weights = part.labels(index, chosen)
            if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
                msg = f"{part}: weights are finite, at least 0, and not all 0"
                raise LoadingError(msg)
            code = code * len(weights) + labels
            weight = np.outer(weight, weights).ravel()
        present = np.unique(code)
        present = present[weight[present] > 0]
        order = np.argsort(code, kind="stable")
        low = np.searchsorted(code[order], present, side="left")
        high = np.searchsorted(code[order], present, side="right")
        members = tuple(chosen[order[a:b]] for a, b in zip(low, high, strict=True))
        return _normalised(members, weight[present])


@dataclass(frozen=True)
class ClassBalanced:
    """Every class of every dataset as often as any other, and ``negatives`` of the epoch without any class.

    A sample that holds several classes is drawn for each of them.
    """

    negatives: float = 0.0

    def groups(self, index: SampleIndex, chosen: Ints) -> Groups:
        """Return groups of the chosen samples, and how often each is drawn."""
        among = np.zeros(len(index), bool)
        among[chosen] = True
        keep = among[index.positive_sample]
        samples, classes = index.positive_sample[keep], index.positive_class[keep]
        key = index.dataset[samples].astype(np.int64) << 16 | classes
        order = np.argsort(key, kind="stable")
        cuts = np.flatnonzero(np.diff(key[order])) + 1
        members = [part for part in np.split(samples[order], cuts) if len(part)]
        empty = chosen[~index.holds_any[chosen]]
        weights = [(1 - self.negatives) / len(members)] * len(members) if members else []
        if len(empty) and self.negatives > 0:
            members.append(empty)
            weights.append(self.negatives)
        return _normalised(tuple(members), np.array(weights))


def _named(weights: Mapping[str, float], names: tuple[str, ...], what: str) -> NDArray[np.float64]:
    unknown = sorted(set(weights) - set(names))
    if unknown:
        msg = f"no sample has the {what} {unknown[0]!r}; the stores have: {', '.join(names)}"
        raise LoadingError(msg)
    return np.array([weights.get(name, 0.0) for name in names])


def _normalised(members: tuple[Ints, ...], weights: NDArray[np.float64]) -> Groups:
    if not len(weights) or weights.min() < 0 or weights.sum() <= 0:
        msg = f"nothing to draw: {len(members)} groups of samples, weights {weights.tolist()}"
        raise LoadingError(msg)
    return Groups(members, weights / weights.sum())
