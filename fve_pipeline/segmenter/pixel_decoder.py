"""The pixel decoder: a feature pyramid with a transformer on its coarsest level."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from fve_pipeline.segmenter.checkpointing import Recomputing
from fve_pipeline.segmenter.config import SegmenterConfig
from fve_pipeline.segmenter.layers import Attention
from fve_pipeline.segmenter.positions import sine_position

__all__ = ["PixelDecoder"]


class NormedConv(nn.Conv2d):
    """Convolution without bias, group norm (32 groups), and a ReLU if asked; (B,C,H,W) -> (B,C',H,W)."""

    def __init__(self, channels: int, out: int, kernel: int, *, relu: bool) -> None:
        super().__init__(channels, out, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(32, out)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(super().forward(x))
        return F.relu(x) if self.relu else x


class EncoderLayer(nn.Module):
    """Post-norm transformer layer; position joins query and key only."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads)
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """(B,N,C), (N,C) -> (B,N,C)."""
        placed = x + position
        x = self.norm1(x + self.self_attn(placed, placed, x))
        out: Tensor = self.norm2(x + self.linear2(F.relu(self.linear1(x))))
        return out


class Encoder(nn.Module):
    """The encoder layers, under the checkpoint's name ``transformer.encoder.layers``."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        layers = [
            EncoderLayer(config.dim, config.heads, config.pixel_ffn) for _ in range(config.pixel_layers)
        ]
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(layers)})


class PixelDecoder(Recomputing):
    """[res2 … res5] -> (mask features (B,C,H/4,W/4), [levels at strides 32, 16, 8], each (B,C,h,w))."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        dims, dim = config.stage_dims, config.dim
        for k in (1, 2, 3):
            self.add_module(f"adapter_{k}", NormedConv(dims[k - 1], dim, 1, relu=False))
            self.add_module(f"layer_{k}", NormedConv(dim, dim, 3, relu=True))
        self.input_proj = nn.Conv2d(dims[3], dim, 1)
        self.transformer = Encoder(config)
        self.layer_4 = NormedConv(dim, dim, 3, relu=True)
        self.mask_features = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        y = self.layer_4(self.attend(features[3]))
        levels = [y]
        for k in (3, 2, 1):
            side = self.get_submodule(f"adapter_{k}")(features[k - 1])
            y = side + F.interpolate(y, size=side.shape[-2:], mode="nearest")
            y = self.get_submodule(f"layer_{k}")(y)
            levels.append(y)
        return self.mask_features(y), levels[:3]

    def attend(self, res5: Tensor) -> Tensor:
        """The transformer on the coarsest level: (B,C5,h,w) -> (B,C,h,w)."""
        x = self.input_proj(res5)
        height, width = x.shape[-2:]
        position = sine_position(height, width, x.shape[1], x.device)
        x = x.flatten(2).transpose(1, 2)
        for layer in self.transformer.encoder["layers"]:  # type: ignore[attr-defined]
            x = self.run(layer, x, position)
        out: Tensor = x.transpose(1, 2).unflatten(2, (height, width))
        return out
