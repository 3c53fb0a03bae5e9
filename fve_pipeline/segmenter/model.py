"""The segmenter: slices and prompts in, mask, edge and existence logits out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fve_pipeline.segmenter.checkpointing import Recomputing
from fve_pipeline.segmenter.config import SegmenterConfig
from fve_pipeline.segmenter.decoder import BoltzmannDecoder, DecodedQueries
from fve_pipeline.segmenter.focalnet import FocalNet
from fve_pipeline.segmenter.initialise import initialise
from fve_pipeline.segmenter.pixel_decoder import PixelDecoder
from fve_pipeline.segmenter.randomness import Randomness
from fve_pipeline.segmenter.text import TextEncoder, TextFeatures
from fve_pipeline.segmenter.tokens import Tokens, tokenize

__all__ = ["PIXEL_MEAN", "PIXEL_STD", "Prediction", "Segmenter"]

# Mean and deviation of 0..255 images, the mean over the three ImageNet channels.
PIXEL_MEAN = (123.675 + 116.280 + 103.530) / 3
PIXEL_STD = (58.395 + 57.120 + 57.375) / 3


@dataclass(frozen=True)
class Prediction:
    """``masks`` and ``edges`` (B,P,H/4,W/4) and ``existence`` (B,P): logits."""

    masks: Tensor
    edges: Tensor
    existence: Tensor


class Head(nn.Module):
    """Pixel decoder and mask decoder, under the checkpoint's name ``sem_seg_head``."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        self.pixel_decoder = PixelDecoder(config)
        self.predictor = BoltzmannDecoder(config, TextEncoder(config))


class Segmenter(nn.Module):
    """BiomedParse-V: one FVE-encoded slice and P prompts -> P masks, edges and existences.

    ``seed`` decides the starting weights (see :mod:`fve_pipeline.segmenter.initialise`); None leaves them
    unset, for a checkpoint to be loaded over.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, config: SegmenterConfig, seed: int | None = 0) -> None:
        super().__init__()
        self.config = config
        device = torch.get_default_device()
        with torch.device("meta"):  # so that nothing is drawn twice, nor from the global generator
            self.backbone = FocalNet(config)
            self.sem_seg_head = Head(config)
        # Not by ``to_empty``, which goes through torch's symbolic shapes: a third of a second at every start.
        room = {
            name: torch.empty(own.shape, dtype=own.dtype, device=device)
            for name, own in self.state_dict().items()
        }
        self.load_state_dict(room, assign=True)
        self.register_buffer("pixel_mean", torch.full((1, 3, 1, 1), PIXEL_MEAN))
        self.register_buffer("pixel_std", torch.full((1, 3, 1, 1), PIXEL_STD))
        if seed is not None:
            initialise(self, config.layerscale, seed)

    def recompute_activations(self, *, on: bool = True) -> None:
        """Switch activation checkpointing: less memory in training for about a third more compute."""
        for module in self.modules():
            if isinstance(module, Recomputing):
                module.recompute = on

    def tokenize(self, prompts: Sequence[str]) -> Tokens:
        """Token ids of ``prompts`` on the model's device."""
        return tokenize(prompts, self.config.context).to(self.pixel_mean.device)

    def encode_text(self, tokens: Tokens) -> TextFeatures:
        """Text features (N,L,C) of N prompts; encode a volume's prompts once and pass them to each slice."""
        encoder: TextEncoder = self.sem_seg_head.predictor.language_encoder  # type: ignore[assignment]
        features: TextFeatures = encoder(tokens)
        return features

    def forward(
        self, images: Tensor, text: Tokens | TextFeatures, randomness: Randomness | None = None
    ) -> Prediction:
        """Segment ``images`` (B,3,H,W), uint8 or float 0..255, channels focal, before, after.

        ``text`` holds B·P prompts, image by image (image 0's P prompts first); for prompts that all images
        share, encode them once and pass :meth:`TextFeatures.shared_by`.
        """
        features = self.encode_text(text) if isinstance(text, Tokens) else text
        return self.summarise(self.decode(images, features, randomness))

    def decode(
        self, images: Tensor, text: TextFeatures, randomness: Randomness | None = None
    ) -> DecodedQueries:
        """All queries' masks (B,P,Q,H/4,W/4); :meth:`forward` before its means over queries."""
        mask_features, levels = self.sem_seg_head.pixel_decoder(self.look(images, randomness))
        return self.answer(mask_features, levels, text, randomness)

    def look(self, images: Tensor, randomness: Randomness | None = None) -> list[Tensor]:
        """The backbone's features [res2 … res5] of ``images`` (B,3,H,W)."""
        features: list[Tensor] = self.backbone(
            (images.float() - self.pixel_mean) / self.pixel_std, randomness
        )
        return features

    def answer(
        self, mask_features: Tensor, levels: list[Tensor], text: TextFeatures, randomness: Randomness | None
    ) -> DecodedQueries:
        """The mask decoder on what the pixel decoder gave of B images, and B·P prompts."""
        count = len(mask_features)
        tokens = text.tokens.view(count, -1, *text.tokens.shape[1:])
        lengths = text.lengths.view(count, -1, 1)
        if self.config.text_padding == "reference":
            # As the reference pads: zero rows up to the longest prompt of the same image take part.
            lengths = lengths.amax(1, keepdim=True).expand_as(lengths)
        opened = torch.arange(tokens.shape[2], device=tokens.device) < lengths
        decoded: DecodedQueries = self.sem_seg_head.predictor(
            mask_features, levels, tokens, opened, randomness
        )
        return decoded

    def summarise(self, decoded: DecodedQueries) -> Prediction:
        """Means of logits over the mask queries (the first) and over the edge queries (the last)."""
        inside = self.config.queries - self.config.edge_queries
        masks, edges = decoded.masks[:, :, :inside].mean(2), decoded.masks[:, :, inside:].mean(2)
        return Prediction(masks, edges, decoded.existence)
