"""Predicting a volume: sub-volumes slide over it, and logits are averaged where they overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from fve_pipeline.bio2vol.sampling import SubVolume, sub_volume, window_starts
from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.segmenter.model import Prediction

__all__ = ["slide"]


def slide(
    predict: Callable[[SubVolume], Prediction], depth: int, settings: Bio2VolSettings
) -> Iterator[tuple[range, Prediction]]:
    """Mean logits of all slices of a volume of ``depth``, in order, a few at a time.

    ``predict`` gives the logits of a sub-volume's rows. Slices are handed out once no later sub-volume holds
    them, so that never more than two sub-volumes' logits are kept.
    """
    starts = list(window_starts(depth, settings))
    kept: dict[int, list[tuple[Tensor, Tensor, Tensor]]] = {}
    for start, stop in zip(starts, [*starts[1:], depth], strict=True):
        cut = sub_volume(start, range(depth), settings)
        found = predict(cut)
        for row, *logits in zip(cut.rows, found.masks, found.edges, found.existence, strict=True):
            kept.setdefault(row, []).append((logits[0], logits[1], logits[2]))
        rows = range(start, stop)
        means = [_mean(kept.pop(row)) for row in rows]
        yield rows, Prediction(*(torch.stack(part) for part in zip(*means, strict=True)))


def _mean(found: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    masks, edges, existence = (torch.stack(part).mean(0) for part in zip(*found, strict=True))
    return masks, edges, existence
