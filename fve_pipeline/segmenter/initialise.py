"""Starting weights, a function of (seed, parameter name, shape) and of nothing else.

Each parameter draws from a generator seeded with its own name, so adding or removing a layer leaves the
others as they were, and no global generator is read or moved.

| parameter | start |
|---|---|
| norm weights and the logit scale, biases | 1, 0 |
| layer scale | ``config.layerscale`` |
| convolutions | normal, std sqrt(2 / fan in) where a nonlinearity follows, 1/sqrt(fan in) otherwise |
| linear layers of the backbone, text encoder | normal, std 0.02 |
| linear layers elsewhere, attention projections | Xavier uniform |
| last layer of the mask embedding | normal, std 1/C, so that mask logits start near 1 in size |
| token, query and level embeddings | normal, std 1 |
| position embeddings | normal, std 1/2 |
| text and class projection | normal, std C^-1/2 |

CLIP starts its tokens at 0.02. Adam moves each weight by about the learning rate a step, whatever its size, and most
words of a batch the same way: at 1e-3 that start was overwritten in ten steps, before prompts had come to mean
anything, and in three runs of five all words but one became one vector and stayed it. At 1 they stay apart.
"""

from __future__ import annotations

import math
import zlib

import torch
from torch import Tensor, nn

__all__ = ["initialise"]


@torch.no_grad()
def initialise(model: nn.Module, layerscale: float, seed: int = 0) -> None:
    """Fill every parameter of ``model`` in place, by the table above."""
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            start = layerscale if "gamma_" in name else 0.0 if name.endswith("bias") else 1.0
            parameter.fill_(start)
            continue
        generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}:{name}".encode()))
        _fill(parameter, name, generator)


def _fill(parameter: Tensor, name: str, generator: torch.Generator) -> None:
    fan_in = parameter[0].numel()
    if name.endswith(("lang_proj", "class_embed")):
        parameter.normal_(0, parameter.shape[0] ** -0.5, generator=generator)
    elif name.endswith("positional_embedding"):
        parameter.normal_(0, 0.5, generator=generator)
    elif "query" in name or "level_embed" in name or name.endswith("token_embedding.weight"):
        parameter.normal_(0, 1, generator=generator)
    elif name.endswith("mask_embed.layers.2.weight"):
        parameter.normal_(0, 1 / fan_in, generator=generator)
    elif parameter.ndim == 4:
        gain = 1.0 if ".h." in name or "adapter" in name or name.endswith(("input_proj.weight",)) else 2.0
        parameter.normal_(0, math.sqrt(gain / fan_in), generator=generator)
    elif "backbone" in name or "language_encoder" in name:
        parameter.normal_(0, 0.02, generator=generator)
    else:
        bound = math.sqrt(6.0 / (parameter.shape[0] + fan_in))
        parameter.uniform_(-bound, bound, generator=generator)
