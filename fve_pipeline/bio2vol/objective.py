"""What a step learns from: batches of sub-volumes, and the segmenter's losses with the alignment's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from fve_pipeline.bio2vol.network import PathLayout, VolumePrediction
from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.loading.share import Batch
from fve_pipeline.segmenter.losses import Losses
from fve_pipeline.segmenter.randomness import CounterRandomness

__all__ = ["SubVolumes", "VolumeLosses", "aligned"]


@dataclass(frozen=True)
class SubVolumes(Batch):
    """B sub-volumes: ``images`` (N,3,S,S) and ``masks`` (N,P,S,S) of their slices, one after the other.

    ``prompts`` are B × P, since all slices of a sub-volume are asked the same; ``samples`` are B ids and
    ``slices`` N. ``layout`` says what the paths read.
    """

    slices: Sequence[int]
    layout: PathLayout

    def randomness(self, seed: int, epoch: int) -> CounterRandomness:
        """The numbers of this batch's pass: a function of (seed, epoch, sub-volume, slice, path, prompt)."""
        return self.layout.randomness(seed, self.slices, [range(self.masks.shape[1])] * len(self), epoch)


@dataclass(frozen=True)
class VolumeLosses(Losses):
    """With ``alignment`` (N,P): of a row's sub-volume, 0 where that holds nothing of the class."""

    alignment: Tensor


def aligned(
    losses: Losses, prediction: VolumePrediction, layout: PathLayout, settings: Bio2VolSettings
) -> VolumeLosses:
    """``losses`` of the N slices plus λ · L_align of their sub-volumes (section 2.3).

    A class that is nowhere in a sub-volume is not aligned with: nothing there is what its words say.
    """
    owner = torch.tensor(layout.owner, device=losses.total.device)
    # A product with 0 and 1, where indexing's gradient would be summed in no fixed order on a GPU.
    own = (owner[:, None] == torch.arange(layout.owner[-1] + 1, device=owner.device)).to(losses.exists)
    alignment = torch.zeros_like(losses.total)
    if settings.alignment:
        present = (own.T @ losses.exists > 0).to(losses.exists)
        alignment = own @ (prediction.alignment.to(own) * present)
    parts = {field.name: getattr(losses, field.name) for field in fields(Losses)}
    parts["total"] = losses.total + settings.alignment * alignment
    return VolumeLosses(**parts, alignment=alignment)
