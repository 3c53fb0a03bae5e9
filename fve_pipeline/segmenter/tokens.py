"""From prompts to CLIP token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fve_pipeline.segmenter.bpe import BEGIN, END, encode

__all__ = ["BEGIN", "END", "Tokens", "tokenize"]


@dataclass(frozen=True)
class Tokens:
    """``ids`` (N,L) int64, padded with END; ``lengths`` (N,) int64 counts BEGIN to the first END."""

    ids: Tensor
    lengths: Tensor

    def to(self, device: torch.device | str) -> Tokens:
        """The same tokens on another device."""
        return Tokens(self.ids.to(device), self.lengths.to(device))


def tokenize(prompts: Sequence[str], context: int = 77, length: int | None = None) -> Tokens:
    """Token ids of ``prompts``: BEGIN, the words' ids, END; cut to ``context`` with END kept last.

    Padded with END to the longest prompt of the call, or to ``length``. The text transformer is causal, so
    what follows the first END changes nothing before it and a shorter padding gives the same features.
    """
    rows = [[BEGIN, *encode(prompt)[: context - 2], END] for prompt in prompts]
    lengths = [len(row) for row in rows]
    width = max(lengths) if length is None else length
    ids = torch.full((len(rows), width), END, dtype=torch.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return Tokens(ids, torch.tensor(lengths, dtype=torch.int64))
