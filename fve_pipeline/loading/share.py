"""A batch of samples, and one process's share of a batch that several take together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Batch", "Share"]


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
        """Samples a piece."""
        return self.batch // (self.world * self.accumulate)

    def pieces(self, rows: Sequence[int]) -> list[Sequence[int]]:
        """Return this rank's pieces of one global batch of sample numbers."""
        start = self.rank * self.micro * self.accumulate
        return [
            rows[i : i + self.micro] for i in range(start, start + self.micro * self.accumulate, self.micro)
        ]
