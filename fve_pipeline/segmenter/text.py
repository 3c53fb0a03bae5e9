"""The text encoder: a CLIP-like causal transformer, trained jointly with the rest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fve_pipeline.segmenter.checkpointing import Recomputing
from fve_pipeline.segmenter.config import SegmenterConfig
from fve_pipeline.segmenter.layers import Attention, unset_embedding
from fve_pipeline.segmenter.tokens import Tokens

__all__ = ["TextEncoder", "TextFeatures"]

# LayerNorm's epsilon in the released text encoder.
_EPS = 1e-12


@dataclass(frozen=True)
class TextFeatures:
    """``tokens`` (N,L,C), zero past ``lengths`` (N,); ``sentence`` (N,C), the feature at the first END."""

    tokens: Tensor
    lengths: Tensor
    sentence: Tensor

    def shared_by(self, images: int) -> TextFeatures:
        """The same P prompts for each of ``images`` slices, (images·P, …)."""
        tokens, lengths = self.tokens.repeat(images, 1, 1), self.lengths.repeat(images)
        return TextFeatures(tokens, lengths, self.sentence.repeat(images, 1))


class TextMlp(nn.Module):
    """Linear ×4, QuickGELU x·σ(1.702x), linear."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(dim, 4 * dim)
        self.c_proj = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.c_fc(x)
        out: Tensor = self.c_proj(x * torch.sigmoid(1.702 * x))
        return out


class TextBlock(nn.Module):
    """Pre-norm causal attention and MLP, (N,L,C) -> (N,L,C)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attn = Attention(dim, heads)
        self.ln_1 = nn.LayerNorm(dim, eps=_EPS)
        self.mlp = TextMlp(dim)
        self.ln_2 = nn.LayerNorm(dim, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, causal=True)
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class TextTransformer(nn.Module):
    """Embeddings, blocks and the final norm, under the checkpoint's names."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        self.token_embedding = unset_embedding(config.vocabulary, config.dim)
        self.positional_embedding = nn.Parameter(torch.empty(config.context, config.dim))
        self.resblocks = nn.ModuleList(TextBlock(config.dim, config.heads) for _ in range(config.text_layers))
        self.ln_final = nn.LayerNorm(config.dim, eps=_EPS)


class TextEncoder(Recomputing):
    """Token ids -> :class:`TextFeatures`. ``logit_scale`` is in the checkpoint and used by nothing."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        self.encoder_transformer = TextTransformer(config)
        self.lang_proj = nn.Parameter(torch.empty(config.dim, config.dim))
        self.logit_scale = nn.Parameter(torch.empty([]))

    def forward(self, tokens: Tokens) -> TextFeatures:
        """``tokens.ids`` (N,L), L up to the context length."""
        transformer = self.encoder_transformer
        length = tokens.ids.shape[1]
        x = transformer.token_embedding(tokens.ids) + transformer.positional_embedding[:length]
        for block in transformer.resblocks:
            x = self.run(block, x)
        x = transformer.ln_final(x) @ self.lang_proj
        inside = torch.arange(length, device=x.device) < tokens.lengths[:, None]
        sentence = x[torch.arange(len(x), device=x.device), tokens.lengths - 1]
        return TextFeatures(x * inside[..., None].to(x.dtype), tokens.lengths, sentence)
