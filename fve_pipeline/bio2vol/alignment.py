"""Semantic alignment of text and both paths (SAT), Bio2Vol section 2.3."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

__all__ = ["alignment_loss"]


def alignment_loss(features: Tensor, lengths: Sequence[int], text: Tensor) -> Tensor:
    """L_align = −Σ over paths of cos(Pool(F_path), E_text), (B,P), equation 6.

    Parameters
    ----------
    features : (B·(T_d + T_s), C, H/4, W/4)
        The pixel decoder's mask features of all paths, sub-volume by sub-volume.
    lengths
        T_d, T_s; or T_d alone without a sparse path. Pool is the mean over space and over a path's slices.
    text : (B·P, C)
        The prompts' features at their end-of-text token.
    """
    pooled = features.mean((2, 3)).unflatten(0, (-1, sum(lengths)))  # type: ignore[no-untyped-call]
    prompts = text.view(len(pooled), -1, text.shape[-1])
    similarity = [
        F.cosine_similarity(path.mean(1)[:, None], prompts, dim=-1)
        for path in pooled.split(list(lengths), dim=1)
    ]
    loss: Tensor = -sum(similarity[1:], similarity[0])
    return loss
