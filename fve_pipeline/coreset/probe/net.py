"""A U-Net of three scales: as small as still learns something in a minute on one CPU core."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ProbeNet"]


def _block(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, padding=1, bias=False),
        nn.GroupNorm(4, out),
        nn.ReLU(),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        nn.GroupNorm(4, out),
        nn.ReLU(),
    )


class ProbeNet(nn.Module):
    """(B,1,S,S) in 0..1 -> one logit map a class (B,classes,S,S); S divisible by 4."""

    def __init__(self, classes: int, width: int = 8) -> None:
        super().__init__()
        self.down = nn.ModuleList([_block(1, width), _block(width, 2 * width), _block(2 * width, 4 * width)])
        self.up = nn.ModuleList([_block(6 * width, 2 * width), _block(3 * width, width)])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return mask logits of images."""
        x = images
        skipped: list[Tensor] = []
        for scale, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if scale else x)
            skipped.append(x)
        for block, other in zip(self.up, reversed(skipped[:-1]), strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), other], 1))
        out: Tensor = self.head(x)
        return out
