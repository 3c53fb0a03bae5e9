"""The sizes and switches of a segmenter, as one frozen model that travels inside checkpoints."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

__all__ = ["PRESETS", "SegmenterConfig", "preset"]


class SegmenterConfig(BaseModel):
    """Sizes of the network and the behaviours that have a name.

    The defaults are the released BiomedParse-V model. ``text_padding`` says whether the zero rows that
    pad shorter prompts take part in attention: ``reference`` lets them (as the released weights were
    trained; a prompt's result then depends on the longest prompt beside it), ``masked`` does not.
    ``stop_gradient`` cuts the classification loss off from the segmentation path (paper section 3.4).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # FocalNet backbone
    embed_dim: int = 192
    depths: tuple[int, int, int, int] = (2, 2, 18, 2)
    focal_levels: int = 4
    focal_window: int = 3
    mlp_ratio: int = 4
    drop_path: float = 0.3
    layerscale: float = 1e-4

    # Shared width of pixel decoder, text encoder and mask decoder
    dim: int = 512
    heads: int = 8

    # Pixel decoder
    pixel_layers: int = 6
    pixel_ffn: int = 2048

    # Text encoder
    vocabulary: int = 49408
    context: int = 77
    text_layers: int = 12

    # Mask decoder with Boltzmann sampling and the classification query (ISD)
    decoder_layers: int = 9
    decoder_ffn: int = 2048
    queries: int = 16
    edge_queries: int = 4
    boltzmann: bool = True
    mask_threshold: float = 1.1
    base_temperature: float = 1.0
    sample_ratio: float = 0.1

    text_padding: Literal["reference", "masked"] = "reference"
    stop_gradient: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> SegmenterConfig:
        if self.dim % 32 or self.dim % self.heads:
            msg = f"dim is {self.dim}; it must be a multiple of 32 (group norm) and of heads ({self.heads})"
            raise ValueError(msg)
        if not 0 < self.edge_queries < self.queries:
            msg = f"edge_queries is {self.edge_queries}; expected 1 to {self.queries - 1}"
            raise ValueError(msg)
        return self

    @property
    def stage_dims(self) -> tuple[int, int, int, int]:
        """Channels of res2 … res5."""
        d = self.embed_dim
        return d, 2 * d, 4 * d, 8 * d


PRESETS: dict[str, SegmenterConfig] = {
    # 371,798,778 parameters: the released model.
    "full": SegmenterConfig(),
    # 5,357,611 parameters: the configuration whose every number is known; for tests.
    "tiny": SegmenterConfig(
        embed_dim=24,
        depths=(1, 1, 2, 1),
        drop_path=0.0,
        dim=64,
        pixel_layers=2,
        pixel_ffn=128,
        text_layers=2,
        decoder_ffn=128,
    ),
    # For training from random weights on a CPU, slices of 64 to 128 pixels. Layer scale starts at 1, since
    # 1e-4 suits a pretrained backbone and leaves a fresh one idle for thousands of steps. Six decoder layers
    # and a larger share of draws: sampling gets sharper with depth, small levels have few tokens to draw from,
    # and with three layers or a tenth the existence query saw too little to learn from (benchmarks/learning.py).
    "small": SegmenterConfig(
        embed_dim=24,
        depths=(1, 1, 2, 1),
        focal_levels=2,
        drop_path=0.0,
        layerscale=1.0,
        dim=64,
        heads=4,
        pixel_layers=1,
        pixel_ffn=128,
        text_layers=2,
        decoder_layers=6,
        decoder_ffn=128,
        queries=8,
        edge_queries=2,
        sample_ratio=0.3,
        text_padding="masked",
    ),
    # The next size up: one small GPU, 256-pixel slices.
    "base": SegmenterConfig(
        embed_dim=96,
        depths=(2, 2, 6, 2),
        drop_path=0.1,
        layerscale=0.1,
        dim=256,
        pixel_layers=3,
        pixel_ffn=1024,
        text_layers=6,
        decoder_layers=6,
        decoder_ffn=1024,
        text_padding="masked",
    ),
}


def preset(name: str) -> SegmenterConfig:
    """The configuration called ``name``; ValueError listing the known ones otherwise."""
    if name not in PRESETS:
        msg = f"unknown segmenter preset {name!r}; known: {', '.join(PRESETS)}"
        raise ValueError(msg)
    return PRESETS[name]
