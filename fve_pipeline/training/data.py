"""What the trainer asks of its data: batches to learn from, and whole cases to validate on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

__all__ = ["Batch", "CaseSlices", "Share", "TrainingData", "ValidationCase", "ValidationData"]


@dataclass(frozen=True)
class Batch:
    """``images`` (B,3,S,S) uint8, ``masks`` (B,P,S,S) ids, 0 outside; ``prompts`` B × P; ``samples`` B ids."""

    images: Tensor
    masks: Tensor
    prompts: Sequence[Sequence[str]]
    samples: Sequence[int]

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True)
class Share:
    """One rank's part of each global batch, in ``accumulate`` pieces of ``micro`` samples.

    The samples of a global batch are a function of (seed, epoch, step); ranks take consecutive parts of it.
    """

    batch: int
    rank: int
    world: int
    accumulate: int

    @property
    def micro(self) -> int:
        return self.batch // (self.world * self.accumulate)

    def pieces(self, rows: Sequence[int]) -> list[Sequence[int]]:
        """This rank's pieces of one global batch of sample numbers."""
        start = self.rank * self.micro * self.accumulate
        return [
            rows[i : i + self.micro] for i in range(start, start + self.micro * self.accumulate, self.micro)
        ]


class TrainingData(Protocol):
    """Samples in an order that is a function of a seed of its own and the epoch."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Order, boundary, resize and size of the images."""
        ...

    @property
    def content_id(self) -> str:
        """Equal for equal samples, wherever they lie."""
        ...

    @property
    def positives(self) -> Mapping[str, int]:
        """Samples that hold each class, by "dataset/class"."""
        ...

    def __len__(self) -> int: ...

    def batches(self, epoch: int, share: Share, start: int) -> Iterator[Batch]:
        """Pieces of the epoch's global batches from step ``start`` on, an unfilled last batch left out."""
        ...


@dataclass(frozen=True)
class CaseSlices:
    """Consecutive slices of a case: ``images`` (D,3,S,S) uint8, ``masks`` (D,P,S,S) ids, ``first`` slice."""

    images: Tensor
    masks: Tensor
    first: int


class ValidationCase(Protocol):
    """One volume with the prompts of all its dataset's classes."""

    @property
    def name(self) -> str: ...

    @property
    def subject(self) -> str: ...

    @property
    def classes(self) -> Sequence[str]:
        """P names, "dataset/class"."""
        ...

    @property
    def prompts(self) -> Sequence[str]:
        """P prompts."""
        ...

    @property
    def depth(self) -> int:
        """How many slices it has."""
        ...

    def slices(self, count: int) -> Iterator[CaseSlices]:
        """All slices in order, at most ``count`` at a time."""
        ...


class ValidationData(Protocol):
    """Cases of subjects that are not trained on."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """As those of the training data."""
        ...

    def __len__(self) -> int: ...

    def case(self, number: int) -> ValidationCase: ...
