"""The training losses, one number a row (image and prompt), to be summed and divided by the global count.

Dice and BCE equally on rows that hold the object, the same for the edge queries, and the classification
loss on every row (paper section 5.2).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from fve_pipeline.segmenter.model import Prediction

__all__ = ["LossWeights", "Losses", "edge_target", "segmentation_losses", "upsample_logits"]

_SMOOTH = 1e-5


@dataclass(frozen=True)
class LossWeights:
    """Weight of the classification and the edge loss, and of positives in the classification loss."""

    classification: float = 1.0
    edge: float = 1.0
    positive: float = 3.0


@dataclass(frozen=True)
class Losses:
    """Each (B,P) float32: ``total`` = cls·w + exists·(dice + bce) + exists·edge·w."""

    total: Tensor
    classification: Tensor
    dice: Tensor
    bce: Tensor
    edge: Tensor
    exists: Tensor


def upsample_logits(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """(B,P,h,w) -> (B,P,H,W) float32, bicubic as the released model is trained and read."""
    return F.interpolate(logits.float(), size=size, mode="bicubic", align_corners=False, antialias=True)


def edge_target(labels: Tensor) -> Tensor:
    """Pixels of ``labels`` (B,P,H,W) whose 3×3 neighbourhood holds two values, bool.

    Taken on the raw ids, so touching instances get a line between them; the image's border gets none.
    """
    padded = F.pad(labels.float(), (1, 1, 1, 1), mode="replicate")
    highest, lowest = F.max_pool2d(padded, 3, stride=1), -F.max_pool2d(-padded, 3, stride=1)
    return highest > lowest


def _dice(logits: Tensor, target: Tensor) -> Tensor:
    """1 - (2Σσt + ε) / (Σσ² + Σt² + ε) a row."""
    score = logits.sigmoid()
    overlap = (score * target).sum((2, 3))
    size = score.square().sum((2, 3)) + target.square().sum((2, 3))
    return 1 - (2 * overlap + _SMOOTH) / (size + _SMOOTH)


def _bce(logits: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((2, 3))


def segmentation_losses(prediction: Prediction, labels: Tensor, weights: LossWeights | None = None) -> Losses:
    """Losses a row of ``prediction`` against ``labels`` (B,P,H,W): 0 outside, any positive id inside."""
    weights = weights or LossWeights()
    size = (labels.shape[-2], labels.shape[-1])
    target = (labels > 0).float()
    exists = target.amax((2, 3))
    masks, edges = upsample_logits(prediction.masks, size), upsample_logits(prediction.edges, size)
    dice, bce = _dice(masks, target), _bce(masks, target)
    line = edge_target(labels).float()
    edge = _dice(edges, line) + _bce(edges, line)
    classification = F.binary_cross_entropy_with_logits(
        prediction.existence.float(),
        exists,
        reduction="none",
        pos_weight=exists.new_tensor(weights.positive),
    )
    total = weights.classification * classification + exists * (dice + bce + weights.edge * edge)
    return Losses(total, classification, dice, bce, edge, exists)
