"""The encoding as one would write it with torch and with OpenCV, for benchmarks/kernels.py to compare with."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from fve_kernels.geometry import sources


def torch_encode(volume: torch.Tensor, order: int) -> torch.Tensor:
    """Whole-tensor operations, boundary repeat: (D, H, W) uint8 → (D, H, W, 3)."""
    focal = np.arange(len(volume))
    chains = torch.from_numpy(sources(len(volume), order, "repeat", focal))
    levels = [volume]
    for _ in range(order - 1):
        v = levels[-1].to(torch.int16)
        total = v[:, 0::2, 0::2] + v[:, 0::2, 1::2] + v[:, 1::2, 0::2] + v[:, 1::2, 1::2]
        levels.append(((total + 2) >> 2).to(torch.uint8))
    channels = [volume]
    for side in range(2):
        image = levels[order - 1][chains[:, side, -1]]
        for level in range(order - 1, 0, -1):
            near = [levels[level][chains[:, side, 3 * level - 3 + i]] for i in range(3)]
            n, h, w = image.shape
            mixed = torch.stack([*near, image], dim=-1).view(n, h, w, 2, 2)
            image = mixed.permute(0, 1, 3, 2, 4).reshape(n, 2 * h, 2 * w)
        channels.append(image)
    return torch.stack(channels, dim=-1)


def opencv_encode(volume: np.ndarray, order: int, out: np.ndarray) -> np.ndarray:
    """cv2.resize with INTER_AREA for the halving (once a slice), strided assignment, cv2.merge."""
    depth = len(volume)
    chains = sources(depth, order, "repeat", np.arange(depth))
    levels = [list(volume)]
    for _ in range(order - 1):
        h, w = levels[-1][0].shape
        levels.append([cv2.resize(s, (w // 2, h // 2), interpolation=cv2.INTER_AREA) for s in levels[-1]])
    for index in range(depth):
        channels = [volume[index]]
        for side in range(2):
            image = levels[order - 1][chains[index, side, -1]]
            for level in range(order - 1, 0, -1):
                mixed = np.empty((2 * image.shape[0], 2 * image.shape[1]), np.uint8)
                first = 3 * level - 3
                mixed[0::2, 0::2] = levels[level][chains[index, side, first]]
                mixed[0::2, 1::2] = levels[level][chains[index, side, first + 1]]
                mixed[1::2, 0::2] = levels[level][chains[index, side, first + 2]]
                mixed[1::2, 1::2] = image
                image = mixed
            channels.append(image)
        cv2.merge(channels, dst=out[index])
    return out
