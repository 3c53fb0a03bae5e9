"""What the segmenter's tests share."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["PROMPTS", "pack"]

PROMPTS = ["esophagus in abdominal computed tomography", "liver"]


def pack(volume: np.ndarray) -> torch.Tensor:
    """(D,H,W) -> (D,3,H,W): focal, before, after, mirrored at the ends."""
    last = len(volume) - 1
    before = [min(1, last) if i == 0 else i - 1 for i in range(last + 1)]
    after = [max(last - 1, 0) if i == last else i + 1 for i in range(last + 1)]
    return torch.from_numpy(np.stack([volume, volume[before], volume[after]], axis=1))
