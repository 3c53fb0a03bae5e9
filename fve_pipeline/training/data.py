"""What the trainer asks of its data: batches to learn from, and whole cases to validate on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from fve_pipeline.loading.share import Batch, Share
from fve_pipeline.segmenter.trained_on import TrainedOn

__all__ = ["CaseSlices", "TrainingData", "ValidationCase", "ValidationData"]


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

    @property
    def trained_on(self) -> TrainedOn:
        """The cases that samples are drawn from, and their data sets."""
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
