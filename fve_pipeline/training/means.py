"""Mean losses of a global batch, from sums over the rows of its pieces."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fve_pipeline.segmenter.losses import Losses

__all__ = ["LOSSES", "loss_means", "loss_sums"]

LOSSES = ("total", "dice", "bce", "edge", "classification")
_MASKED = ("dice", "bce", "edge")  # counted where the object is


def loss_sums(losses: Losses, names: Sequence[str]) -> Tensor:
    """Return sums over rows in the order of ``names``, those of masks over positives only, and the positives."""
    rows = {k: getattr(losses, k).detach() for k in (*names, "exists")}
    masked = {k: v * losses.exists if k in _MASKED else v for k, v in rows.items()}
    return torch.stack([v.sum() for v in masked.values()])


def loss_means(totals: Tensor, names: Sequence[str], rows: float) -> dict[str, float]:
    """Return the means by name of sums over all pieces and ranks, which ``rows`` rows gave."""
    positives = max(1.0, float(totals[-1]))
    return {
        name: float(total) / (positives if name in _MASKED else rows)
        for name, total in zip(names, totals, strict=False)
    }
