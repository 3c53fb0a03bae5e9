"""Boltzmann sampling: which image tokens a query may look at in the next layer.

Tokens that the current mask finds likely are opened more often; the temperature falls with depth, so late
layers concentrate on the object.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fve_pipeline.segmenter.config import SegmenterConfig
from fve_pipeline.segmenter.randomness import Randomness

__all__ = ["boltzmann_probability", "open_tokens"]


def boltzmann_probability(score: Tensor, temperature: float, threshold: float) -> Tensor:
    """p = exp(s/τ)·[s < threshold] / Σ over the last axis, always float32."""
    score = score.float()
    weight = torch.exp(score / temperature) * (score < threshold)
    return weight / weight.sum(-1, keepdim=True)


@torch.no_grad()
def open_tokens(logits: Tensor, layer: int, config: SegmenterConfig, randomness: Randomness | None) -> Tensor:
    """Tokens open to each query: bool (B, P, heads, Q, N) from mask ``logits`` (B, P, Q, N).

    ``layer`` is -1 for the initial head, else the decoder layer just done. With n = N·sample_ratio draws, a
    token stays closed with probability (1-p)^n; each attention head draws for itself. A query for which all
    tokens would be closed gets all of them. Without ``config.boltzmann``, open are the tokens whose score
    reaches the threshold.

    All in float32, under autocast too, which lowers none of these operations: in bfloat16 1 - 1/4096 is 1,
    and the mask would degenerate.
    """
    score = logits.float().sigmoid()
    below = score < config.mask_threshold
    if not config.boltzmann:
        closed = below[:, :, None].expand(-1, -1, config.heads, -1, -1)
    else:
        if randomness is None:
            msg = "Boltzmann sampling needs randomness; pass a source to forward, or set boltzmann=False"
            raise ValueError(msg)
        queries, tokens = score.shape[-2:]
        p = boltzmann_probability(score, config.base_temperature / (layer + 2), config.mask_threshold)
        stays = (1 - p) ** int(tokens * config.sample_ratio)
        uniform = randomness.sampling(layer + 1, config.heads, queries, tokens)
        closed = (uniform < stays[:, :, None]) & below[:, :, None]
    return ~closed | closed.all(-1, keepdim=True)
