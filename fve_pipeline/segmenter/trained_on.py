"""What a checkpoint has learnt from: cases, on which it must not be judged, and data sets, whose terms it carries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

__all__ = ["TrainedCase", "TrainedDataset", "TrainedOn"]


class TrainedCase(NamedTuple):
    """A case as its store names it ("dataset/name"), its subject, and the sha256 of its image's file."""

    case: str
    subject: str
    source_sha256: str


class TrainedDataset(NamedTuple):
    """A data set with the terms that it comes under, as its catalog states them."""

    dataset: str
    licence: str
    citation: str
    url: str


@dataclass(frozen=True)
class TrainedOn:
    """The cases whose samples a model was trained on, and their data sets; those of its starting weights included."""

    cases: tuple[TrainedCase, ...] = ()
    datasets: tuple[TrainedDataset, ...] = ()

    @classmethod
    def of(cls, cases: Iterable[TrainedCase], datasets: Iterable[TrainedDataset]) -> TrainedOn:
        """Return them sorted, each once."""
        return cls(tuple(sorted(set(cases))), tuple(sorted(set(datasets))))

    @classmethod
    def recorded(cls, content: Mapping[str, Any]) -> TrainedOn:
        """Return what ``content`` of a checkpoint records; nothing where it does not say."""
        found = content.get("trained_on", {})
        return cls(
            tuple(TrainedCase(*row) for row in found.get("cases", ())),
            tuple(TrainedDataset(*row) for row in found.get("datasets", ())),
        )

    def as_content(self) -> dict[str, list[list[str]]]:
        """Return it as a checkpoint keeps it: rows of words."""
        return {"cases": [list(row) for row in self.cases], "datasets": [list(row) for row in self.datasets]}

    def __or__(self, other: TrainedOn) -> TrainedOn:
        return TrainedOn.of((*self.cases, *other.cases), (*self.datasets, *other.datasets))

    def nameless(self) -> TrainedOn:
        """Return it without names of cases and subjects, for a model that is given away: their images' hashes stay."""
        return TrainedOn.of((TrainedCase("", "", case.source_sha256) for case in self.cases), self.datasets)

    @cached_property
    def hashes(self) -> frozenset[str]:
        """The sha256 of every image file."""
        return frozenset(case.source_sha256 for case in self.cases)
