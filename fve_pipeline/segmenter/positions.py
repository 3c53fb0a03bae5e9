"""Sine positions of a feature map."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["sine_position"]


def sine_position(height: int, width: int, dim: int, device: torch.device | str = "cpu") -> Tensor:
    """(height*width, dim) float32: the first half of the channels tells y, the second x.

    Row i (1…n) is scaled to 2π·i/(n + 1e-6); frequency pair j has period 10000^(2j/(dim/2)), sine and
    cosine interleaved.
    """
    half = dim // 2
    pair = torch.arange(half, dtype=torch.float32, device=device) // 2
    period = 10000.0 ** (2 * pair / half)

    def along(n: int) -> Tensor:
        steps = torch.arange(1, n + 1, dtype=torch.float32, device=device)
        angle = (steps / (n + 1e-6) * 2 * math.pi)[:, None] / period
        return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=2).flatten(1)

    y = along(height)[:, None].expand(height, width, half)
    x = along(width)[None].expand(height, width, half)
    return torch.cat((y, x), dim=2).flatten(0, 1)
