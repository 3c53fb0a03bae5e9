"""The FocalNet image backbone: four stages of focal modulation, strides 4, 8, 16 and 32.

Tokens are kept as (B,H,W,C), channels last; convolutions see the same memory as (B,C,H,W).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fve_pipeline.segmenter.checkpointing import Recomputing
from fve_pipeline.segmenter.config import SegmenterConfig
from fve_pipeline.segmenter.randomness import Randomness

__all__ = ["FocalModulation", "FocalNet", "drop_path"]


def drop_path(x: Tensor, uniform: Tensor, rate: float) -> Tensor:
    """Zero whole images of ``x`` (B,…) with probability ``rate``; the rest is divided by 1 - rate.

    ``uniform`` U[0,1) (B,) decides: an image is kept where it is at least ``rate``.
    """
    scale = (uniform >= rate).to(x.dtype) / (1.0 - rate)
    return x * scale.view(-1, *[1] * (x.ndim - 1))


class PatchEmbed(nn.Module):
    """Strided convolution and LayerNorm: (B,H,W,C) -> (B,H/s,W/s,C'), zero-padded right and below first."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.stride = stride
        self.proj = nn.Conv2d(channels, out, kernel, stride, padding)
        self.norm = nn.LayerNorm(out)

    def forward(self, x: Tensor) -> Tensor:
        right, below = -x.shape[2] % self.stride, -x.shape[1] % self.stride
        x = F.pad(x.permute(0, 3, 1, 2), (0, right, 0, below))
        out: Tensor = self.norm(self.proj(x).permute(0, 2, 3, 1))
        return out


class FocalModulation(nn.Module):
    """Each token's query, modulated by context gathered at growing windows and over the whole image."""

    def __init__(self, dim: int, levels: int, window: int) -> None:
        super().__init__()
        self.dim, self.levels = dim, levels
        self.f = nn.Linear(dim, 2 * dim + levels + 1)
        self.h = nn.Conv2d(dim, dim, 1)
        self.proj = nn.Linear(dim, dim)
        self.focal_layers = nn.ModuleList()
        for level in range(levels):
            kernel = window + 2 * level
            conv = nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim, bias=False)
            self.focal_layers.append(nn.Sequential(conv, nn.GELU()))

    def forward(self, x: Tensor) -> Tensor:
        """(B,H,W,C) -> (B,H,W,C)."""
        mixed = self.f(x).permute(0, 3, 1, 2)
        query, context, gates = mixed.split((self.dim, self.dim, self.levels + 1), dim=1)
        total = torch.zeros_like(query)
        for level, layer in enumerate(self.focal_layers):
            context = layer(context)
            total = total + context * gates[:, level : level + 1]
        everywhere = F.gelu(context.mean((2, 3), keepdim=True))
        total = total + everywhere * gates[:, self.levels :]
        modulated = query * self.h(total / (self.levels + 1))
        out: Tensor = self.proj(modulated.permute(0, 2, 3, 1))
        return out


class Mlp(nn.Module):
    """Linear, GELU, linear on the last axis."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class FocalBlock(nn.Module):
    """Modulation and MLP, each normalised after the operation (post-norm) and scaled per channel."""

    def __init__(self, dim: int, config: SegmenterConfig, rate: float, index: int) -> None:
        super().__init__()
        self.rate, self.index = rate, index
        self.gamma_1 = nn.Parameter(torch.empty(dim))
        self.gamma_2 = nn.Parameter(torch.empty(dim))
        self.modulation = FocalModulation(dim, config.focal_levels, config.focal_window)
        self.norm1 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, config.mlp_ratio * dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, randomness: Randomness | None) -> Tensor:
        """(B,H,W,C) -> (B,H,W,C)."""
        x = x + self._drop(self.gamma_1 * self.norm1(self.modulation(x)), randomness, 0)
        return x + self._drop(self.gamma_2 * self.norm2(self.mlp(x)), randomness, 1)

    def _drop(self, x: Tensor, randomness: Randomness | None, site: int) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        if randomness is None:
            msg = f"training with drop path {self.rate:.3f} needs a source of randomness; pass one to forward"
            raise ValueError(msg)
        return drop_path(x, randomness.drop_path(2 * self.index + site), self.rate)


class Stage(nn.Module):
    """Blocks at one resolution, and the step down to the next (none after the last)."""

    def __init__(self, dim: int, blocks: list[FocalBlock], *, last: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = None if last else PatchEmbed(dim, 2 * dim, kernel=3, stride=2, padding=1)


class FocalNet(Recomputing):
    """(B,3,H,W) normalised -> [res2, res3, res4, res5], (B,C_i,H/s,W/s) at strides 4, 8, 16, 32.

    The drop-path rate rises linearly from 0 to ``config.drop_path`` over the blocks.
    """

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(3, config.embed_dim, kernel=7, stride=4, padding=2)
        rates = torch.linspace(0, config.drop_path, sum(config.depths), device="cpu").tolist()
        self.layers = nn.ModuleList()
        index = 0
        for i, (dim, depth) in enumerate(zip(config.stage_dims, config.depths, strict=True)):
            blocks = [FocalBlock(dim, config, rates[index + j], index + j) for j in range(depth)]
            index += depth
            self.layers.append(Stage(dim, blocks, last=i == len(config.depths) - 1))
        for i, dim in enumerate(config.stage_dims):
            self.add_module(f"norm{i}", nn.LayerNorm(dim))

    def forward(self, images: Tensor, randomness: Randomness | None = None) -> list[Tensor]:
        x = self.patch_embed(images.permute(0, 2, 3, 1))
        features = []
        for i, stage in enumerate(self.layers):
            for block in stage.blocks:  # type: ignore[union-attr]
                x = self.run(block, x, randomness)
            # Contiguous: on a channels-last view, torch's group norm on a CPU loses float32 where the image is flat.
            features.append(self.get_submodule(f"norm{i}")(x).permute(0, 3, 1, 2).contiguous())
            if stage.downsample is not None:
                x = stage.downsample(x)  # type: ignore[operator]
        return features
