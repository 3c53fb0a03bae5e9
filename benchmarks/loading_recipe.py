"""The reference recipe as a training script has it: OpenCV and numpy, in a torch dataset, for benchmarks/loading.py.

The same draws, in the same shares, as ``fve_pipeline.loading.Recipe``; nothing of ours does the work.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from torch.utils.data import Dataset

CLASSES, PROMPTS = 6, 4  # of loading_data's cohort; masks asked for


def augmented(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[Any, Any]:
    """An encoded image of order 1 (S, S, 3), its slices the channels, and its mask."""
    if rng.random() < 0.5:
        image = image[..., [0, 2, 1]]
    if rng.random() < 0.5:
        return image, mask
    turns = int(rng.integers(4))
    image, mask = np.rot90(image, turns), np.rot90(mask, turns)
    code = int(rng.integers(-1, 2))
    image, mask = cv2.flip(np.ascontiguousarray(image), code), cv2.flip(np.ascontiguousarray(mask), code)
    side = len(mask)
    if rng.random() < 0.5:
        scale, down, right = 0.9 + 0.2 * rng.random(), 0.2 * rng.random() - 0.1, 0.2 * rng.random() - 0.1
        start = (1 - scale) * (side - 1) / 2
        matrix = np.array([[scale, 0, start + right * side], [0, scale, start + down * side]])
        image = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        mask = cv2.warpAffine(mask, matrix, (side, side), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    values = image.astype(np.float32) + np.float32(51 * rng.random() - 25.5)
    if rng.random() < 0.5:
        values += np.float32(25 * rng.random()) * rng.standard_normal(values.shape, np.float32)
    if rng.random() < 0.5:
        share, where = 0.02 + 0.08 * rng.random(), rng.random((side, side), np.float32)
        values[where < share / 2] = 0
        values[where > 1 - share / 2] = 255
    return np.clip(np.rint(values), 0, 255).astype(np.uint8), mask


class Augmented(Dataset[Any]):
    """Samples of ``get``, augmented, with the masks of four classes."""

    def __init__(self, opener: Any, n: int) -> None:
        self.opener, self.n, self.get = opener, n, None

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Any:
        cv2.setNumThreads(1)
        self.get = self.get or self.opener()
        rng = np.random.default_rng(i)
        image, mask = augmented(*self.get(i), rng)
        asked = rng.permutation(CLASSES)[:PROMPTS] + 1
        return np.ascontiguousarray(image), (mask == asked[:, None, None]).astype(np.uint8)
