"""Float32 against float64 of the same network, at the size of real slices."""

from __future__ import annotations

import torch

from fve_pipeline.segmenter.config import preset
from fve_pipeline.segmenter.model import Segmenter


def _slice(size: int) -> torch.Tensor:
    """A bright disc with texture in an otherwise empty slice: (1,3,S,S)."""
    generator = torch.Generator().manual_seed(4)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    disc = (y - size // 2) ** 2 + (x - size // 3) ** 2 < (size // 8) ** 2
    texture = torch.randint(80, 200, (3, size, size), generator=generator, dtype=torch.uint8)
    return torch.where(disc, texture, torch.zeros_like(texture))[None]


def test_flat_background_costs_float32_nothing() -> None:
    model = Segmenter(preset("tiny"), seed=1).eval()
    images = _slice(512)
    with torch.no_grad():
        single = model.sem_seg_head.pixel_decoder(model.look(images))[0]
        model.double()
        exact = model.sem_seg_head.pixel_decoder(model.look(images.double()))[0]
    worst = float((single - exact).abs().max() / exact.abs().max())
    assert worst < 2e-5, worst
