"""The mask decoder: queries that look at image and text, and the classification query beside them (ISD).

Shapes: B images, P prompts an image, R = B·P rows, Q queries, L text tokens, C channels, N image tokens.

What one image's prompts share is computed once: keys and values of the image are projected per image, and
the queries of its prompts attend to them side by side. Scores for sampling are computed at the size of the
level that needs them, from mask features resized once (resizing is linear, so it commutes with the product).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fve_pipeline.segmenter.boltzmann import open_tokens
from fve_pipeline.segmenter.checkpointing import Recomputing
from fve_pipeline.segmenter.config import SegmenterConfig
from fve_pipeline.segmenter.layers import (
    CrossAttentionLayer,
    FeedForwardLayer,
    SelfAttentionLayer,
    unset_embedding,
)
from fve_pipeline.segmenter.positions import sine_position
from fve_pipeline.segmenter.randomness import Randomness

__all__ = ["BoltzmannDecoder", "DecodedQueries"]


@dataclass(frozen=True)
class DecodedQueries:
    """``masks`` (B,P,Q,H/4,W/4) logits a query, ``existence`` (B,P) logits, final ``queries`` (B,P,Q,C)."""

    masks: Tensor
    existence: Tensor
    queries: Tensor


@dataclass(frozen=True)
class _Level:
    """An image level: keys (features + position) and values, (B,N,C), and mask features (B,C,N)."""

    key: Tensor
    value: Tensor
    mask_features: Tensor


class MaskMlp(nn.Module):
    """Three linear layers with ReLU between, (…,C) -> (…,C)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(dim, dim) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.layers[1](F.relu(self.layers[0](x))))
        out: Tensor = self.layers[2](x)
        return out


def _layers(depth: int, kind: type[nn.Module], dim: int, size: int) -> nn.ModuleList:
    return nn.ModuleList(kind(dim, size) for _ in range(depth))


class BoltzmannDecoder(Recomputing):
    """Levels, mask features and text -> mask logits a query and an existence logit a prompt."""

    def __init__(self, config: SegmenterConfig, language_encoder: nn.Module) -> None:
        super().__init__()
        self.config = config
        dim, heads, hidden, depth = config.dim, config.heads, config.decoder_ffn, config.decoder_layers
        self.class_embed = nn.Parameter(torch.empty(dim, dim))
        self.language_encoder = language_encoder

        self.initial_self_attention_layer = SelfAttentionLayer(dim, heads)
        self.initial_ffn_layer = FeedForwardLayer(dim, hidden)
        self.transformer_cross_attention_layers = _layers(depth, CrossAttentionLayer, dim, heads)
        self.transformer_self_attention_layers = _layers(depth, SelfAttentionLayer, dim, heads)
        self.transformer_ffn_layers = _layers(depth, FeedForwardLayer, dim, hidden)
        self.query_feat_ = unset_embedding(config.queries, dim)
        self.query_embed_ = unset_embedding(config.queries, dim)
        self.level_embed = unset_embedding(3, dim)
        self.decoder_norm = nn.LayerNorm(dim)
        self.mask_embed = MaskMlp(dim)

        self.classifier_query = unset_embedding(1, dim)
        self.classifier_cross_attention_layers = _layers(depth, CrossAttentionLayer, dim, heads)
        self.classifier_ffn_layers = _layers(depth, FeedForwardLayer, dim, hidden)
        self.classifier = nn.Linear(dim, 1)

    def forward(
        self,
        mask_features: Tensor,
        levels: list[Tensor],
        text: Tensor,
        text_open: Tensor,
        randomness: Randomness | None,
    ) -> DecodedQueries:
        """``mask_features`` (B,C,H/4,W/4), ``levels`` 3 × (B,C,h,w), ``text`` (B,P,L,C).

        ``text_open`` (B,P,L) bool: the text tokens that take part in attention.
        """
        images, prompts = text_open.shape[:2]
        rows, count = images * prompts, self.config.queries
        places = [self._level(i, level, mask_features) for i, level in enumerate(levels)]
        words = text.flatten(0, 1)
        query_position = self.query_embed_.weight.expand(rows, -1, -1)
        position = torch.cat((query_position, words.detach()), dim=1)
        opened = F.pad(text_open.flatten(0, 1), (count, 0), value=True)[:, None, None]
        content = self.query_feat_.weight.expand(rows, -1, -1).to(words.dtype)

        both = self.initial_self_attention_layer(torch.cat((content, words), dim=1), position, opened)
        content, words = self.initial_ffn_layer(both[:, :count]), both[:, count:]
        looks = self._looks(content, places[0], -1, prompts, randomness)
        judge = self.classifier_query.weight.expand(rows, -1, -1)
        for i in range(self.config.decoder_layers):
            content, words, judge = self.run(
                self._layer, i, content, words, judge, places[i % 3], position, opened, looks
            )
            if i + 1 < self.config.decoder_layers:
                looks = self._looks(content, places[(i + 1) % 3], i, prompts, randomness)

        final = self.decoder_norm(content)
        weights = self.mask_embed(final).view(images, prompts * count, -1)
        masks = torch.einsum("bqc,bchw->bqhw", weights, mask_features)
        masks = masks.view(images, prompts, count, *masks.shape[-2:])
        existence = self.classifier(judge).view(images, prompts)
        return DecodedQueries(masks, existence, final.view(images, prompts, count, -1))

    def _level(self, index: int, level: Tensor, mask_features: Tensor) -> _Level:
        height, width = level.shape[-2:]
        value = level.flatten(2).transpose(1, 2) + self.level_embed.weight[index]
        key = value + sine_position(height, width, level.shape[1], level.device)
        with torch.no_grad():
            resized = F.interpolate(mask_features, size=(height, width), mode="bilinear", align_corners=False)
        return _Level(key, value, resized.flatten(2))

    @torch.no_grad()
    def _looks(
        self, content: Tensor, level: _Level, layer: int, prompts: int, randomness: Randomness | None
    ) -> Tensor:
        """Tokens that the next layer's queries may look at, bool (B, heads, P·Q, N)."""
        count = self.config.queries
        weights = self.mask_embed(self.decoder_norm(content)).view(-1, prompts * count, content.shape[-1])
        logits = (weights @ level.mask_features).view(len(weights), prompts, count, -1)
        return open_tokens(logits, layer, self.config, randomness).transpose(1, 2).flatten(2, 3)

    def _layer(
        self,
        i: int,
        content: Tensor,
        words: Tensor,
        judge: Tensor,
        level: _Level,
        position: Tensor,
        opened: Tensor,
        looks: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Layer ``i``: ``content`` (R,Q,C), ``words`` (R,L,C), ``judge`` (R,1,C), each updated."""
        count = self.config.queries
        images = level.key.shape[0]
        side_by_side = content.reshape(images, -1, content.shape[-1])
        places = position[:, :count].reshape(images, -1, content.shape[-1])
        look = self.transformer_cross_attention_layers[i]
        attended = look(side_by_side, level.key, level.value, places, looks)
        both = torch.cat((attended.view_as(content), words), dim=1)
        both = self.transformer_self_attention_layers[i](both, position, opened)
        content, words = self.transformer_ffn_layers[i](both[:, :count]), both[:, count:]

        # The classification query reads the hidden state before the queries' feed-forward, through a
        # stop-gradient: what it learns from empty slices must not reach the masks (paper section 3.4).
        seen, seen_at = both, both + position
        if self.config.stop_gradient:
            seen, seen_at = seen.detach(), seen_at.detach()
        judge = self.classifier_cross_attention_layers[i](judge, seen_at, seen, opened=opened)
        return content, words, self.classifier_ffn_layers[i](judge)
