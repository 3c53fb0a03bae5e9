"""From a slice's logits to labels: existence filter, suppression of overlaps, merging (paper section 3.5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["filter_single", "merge_labels", "suppress_overlaps", "volume_labels"]


def filter_single(masks: Tensor, existence: Tensor) -> Tensor:
    """One prompt: probabilities (D,H,W), zero on slices whose existence is not above one half.

    ``masks`` (D,H,W) and ``existence`` (D,) are logits.
    """
    return masks.sigmoid() * (existence.sigmoid() > 0.5)[:, None, None]


def suppress_overlaps(masks: Tensor, existence: Tensor, overlap: float = 0.5) -> Tensor:
    """Several prompts on one slice: probabilities (P,H,W), zero for prompts that were dropped.

    ``masks`` (P,H,W) and ``existence`` (P,) are logits. Prompts are taken by falling existence until it is
    below one half (one half itself stays in, unlike with a single prompt). A prompt with no pixel above one
    half is dropped; so is one whose pixels have an IoU above ``overlap`` with a prompt already kept.
    """
    probability, exists = masks.sigmoid(), existence.sigmoid()
    binary = (probability > 0.5).flatten(1)
    areas = binary.sum(1).tolist()
    kept: list[int] = []
    for i in torch.argsort(exists, descending=True, stable=True).tolist():
        if exists[i] < 0.5:
            break
        if areas[i] == 0:
            continue
        shared = [int((binary[i] & binary[j]).sum()) for j in kept]
        if all(s / (areas[i] + areas[j] - s) <= overlap for s, j in zip(shared, kept, strict=True)):
            kept.append(i)
    keep = torch.zeros(len(masks), dtype=torch.bool, device=masks.device)
    keep[kept] = True
    return probability * keep[:, None, None]


def merge_labels(probabilities: Tensor, ids: Sequence[int]) -> NDArray[np.int32]:
    """(P,…) probabilities -> (…) ids: the likeliest prompt where it is above one half, else 0.

    Of equals the first wins, the background before all.
    """
    background = torch.full_like(probabilities[:1], 0.5)
    winner = torch.cat((background, probabilities)).argmax(0).cpu().numpy()
    table = np.array([0, *ids], dtype=np.int32)
    labels: NDArray[np.int32] = table[winner]
    return labels


def volume_labels(masks: Tensor, existence: Tensor, ids: Sequence[int]) -> NDArray[np.int32]:
    """Labels (D,H,W) from ``masks`` (P,D,H,W) and ``existence`` (P,D) logits at the labels' size.

    One prompt and several are filtered by different rules, as the released model's are.
    """
    if len(masks) == 1:
        return merge_labels(filter_single(masks[0], existence[0])[None], ids)
    slices = [
        merge_labels(suppress_overlaps(masks[:, z], existence[:, z]), ids) for z in range(masks.shape[1])
    ]
    return np.stack(slices)
