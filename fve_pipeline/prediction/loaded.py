"""A model on its device, ready to be asked: its adaptation, its precision, the sentences that it has read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import torch

from fve_pipeline.bio2vol.network import Volumes
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.segmenter.text import TextFeatures

__all__ = ["LoadedModel", "Precision", "usual_precision"]

Precision = Literal["float32", "bf16"]

# Sets of prompts whose features are kept; a data set's volumes are asked for one set, or for its mirror image.
_SETS = 16


def usual_precision(device: torch.device) -> Precision:
    """Return what is computed in unless somebody asks: bf16 on a GPU, float32 elsewhere."""
    return "bf16" if device.type == "cuda" else "float32"


class LoadedModel:
    """A segmenter, ``volumes`` where it is adapted to read across slices, and the ``precision`` it computes in."""

    def __init__(
        self, model: Segmenter, volumes: Volumes | None = None, precision: Precision = "float32"
    ) -> None:
        self.model, self.volumes, self.precision = model, volumes, precision
        self.device = model.pixel_mean.device
        self._text = lru_cache(_SETS)(self._encode)

    def text(self, prompts: Sequence[str]) -> TextFeatures:
        """Return the features of prompts, which are encoded once for all volumes, views and slices."""
        return self._text(tuple(prompts))

    def computing(self) -> torch.autocast:
        """Compute in the model's precision inside the block; bf16 leaves normalisations and sums in float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _encode(self, prompts: tuple[str, ...]) -> TextFeatures:
        return self.model.encode_text(self.model.tokenize(prompts))
