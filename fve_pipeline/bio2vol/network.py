"""The segmenter on sub-volumes: both paths in one pass, their predictions averaged, their features aligned.

Shapes: B sub-volumes of d places each, N slices that they are made of, T_d and T_s slices a path,
M = B·(T_d + T_s) images of all paths (sub-volume by sub-volume, dense before sparse), P prompts a sub-volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from fve_pipeline.bio2vol.alignment import alignment_loss
from fve_pipeline.bio2vol.attention import adapt
from fve_pipeline.bio2vol.sampling import paths
from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.segmenter.model import Prediction, Segmenter
from fve_pipeline.segmenter.randomness import CounterRandomness, combine_keys
from fve_pipeline.segmenter.text import TextFeatures
from fve_pipeline.segmenter.tokens import Tokens

__all__ = ["PathLayout", "VolumePrediction", "Volumes"]


@dataclass(frozen=True)
class VolumePrediction(Prediction):
    """A :class:`Prediction` of the N slices, and ``alignment`` (B,P), the loss of equation 6; empty without."""

    alignment: Tensor


@dataclass(frozen=True)
class PathLayout:
    """Which slice each image of the paths is.

    ``image`` (M,) and ``sub_volume`` (M,) name slice and sub-volume, ``path`` (M,) is 0 in the dense path and
    1 in the sparse; ``owner`` (N,) is the sub-volume of each slice; ``lengths`` are those of the 2·B
    sequences, or B without a sparse path. All on the CPU, small.
    """

    image: tuple[int, ...]
    sub_volume: tuple[int, ...]
    path: tuple[int, ...]
    owner: tuple[int, ...]
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, places: Sequence[Sequence[int]], settings: Bio2VolSettings) -> Self:
        """From each sub-volume's ``places`` (:class:`~fve_pipeline.bio2vol.sampling.SubVolume`)."""
        image, sub, path, owner, lengths = (list[int]() for _ in range(5))
        for number, own in enumerate(places):
            first = len(owner)
            owner += [number] * (max(own) + 1)
            for which, positions in enumerate(paths(settings)):
                image += [first + own[i] for i in positions]
                lengths.append(len(positions))
                sub += [number] * len(positions)
                path += [which] * len(positions)
        return cls(tuple(image), tuple(sub), tuple(path), tuple(owner), tuple(lengths))

    @property
    def plain(self) -> bool:
        """Whether the paths are the slices as they are: none twice, in order."""
        return self.image == tuple(range(len(self.owner)))

    def averaging(self) -> Tensor:
        """(N,M): the mean over all images of a slice."""
        weights = torch.zeros(len(self.owner), len(self.image))
        weights[list(self.image), range(len(self.image))] = 1
        return weights / weights.sum(1, keepdim=True)

    def randomness(
        self, seed: int, samples: Sequence[int], prompts: Sequence[Sequence[int]], epoch: int = 0
    ) -> CounterRandomness:
        """Keys for slices ``samples`` (N ids) and each sub-volume's prompt keys (B × P).

        In the dense path the numbers are those that the slice would get alone; the sparse path draws anew.
        """
        alone = CounterRandomness.of(seed, samples, [prompts[b] for b in self.owner], epoch)
        ids = [
            samples[n] if p == 0 else combine_keys(samples[n], p)
            for n, p in zip(self.image, self.path, strict=True)
        ]
        rows = CounterRandomness.of(seed, ids, [prompts[b] for b in self.sub_volume], epoch).rows
        return CounterRandomness(alone.images, rows)


class Volumes(nn.Module):
    """A segmenter adapted in place, as a module that takes sub-volumes. Adds no parameter.

    Raises
    ------
    Bio2VolError
        If the model has fewer heads than are to cross slices.
    """

    def __init__(self, model: Segmenter, settings: Bio2VolSettings) -> None:
        super().__init__()
        self.model, self.settings = model, settings
        self.order = adapt(model, settings.heads, settings.offset)

    def forward(
        self,
        images: Tensor,
        layout: PathLayout,
        text: Tokens | TextFeatures,
        randomness: CounterRandomness | None = None,
    ) -> VolumePrediction:
        """Segment slices ``images`` (N,3,H,W); ``text`` holds B·P prompts, sub-volume by sub-volume.

        A slice's logits are the mean over the paths' images of it.
        """
        features = self.model.encode_text(text) if isinstance(text, Tokens) else text
        device = images.device
        seen = self.model.look(images, randomness)
        if not layout.plain:
            index = torch.tensor(layout.image, device=device)
            seen = [level[index] for level in seen]
        self.order.sequences(layout.lengths, device)
        mask_features, levels = self.model.sem_seg_head.pixel_decoder(seen)
        rows = _rows(layout, len(features.lengths), device)
        asked = TextFeatures(features.tokens[rows], features.lengths[rows], features.sentence[rows])
        found = self.model.summarise(self.model.answer(mask_features, levels, asked, randomness))

        # The meta device, on which memory is estimated, knows no autocast.
        with torch.autocast("cpu" if device.type == "meta" else device.type, enabled=False):
            weights = layout.averaging().to(device)
            masks, edges, existence = (
                (weights @ part.to(weights.dtype).flatten(1)).view(len(weights), *part.shape[1:])
                for part in (found.masks, found.edges, found.existence)
            )
            alignment = masks.new_zeros(0)
            if self.settings.alignment:
                lengths = [len(path) for path in paths(self.settings)]
                alignment = alignment_loss(
                    mask_features.to(weights.dtype), lengths, features.sentence.to(weights.dtype)
                )
        return VolumePrediction(masks, edges, existence, alignment)

    def predict(
        self, images: Tensor, layout: PathLayout, text: TextFeatures, randomness: CounterRandomness
    ) -> Prediction:
        """The logits alone, float32; the model then stands for single images again."""
        found: VolumePrediction = self(images, layout, text, randomness)
        self.order.alone()
        return Prediction(found.masks, found.edges, found.existence)


def _rows(layout: PathLayout, texts: int, device: torch.device) -> Tensor:
    """For each of M·P rows, which of the B·P texts it asks."""
    prompts = texts // (layout.sub_volume[-1] + 1)
    first = torch.tensor(layout.sub_volume, device=device) * prompts
    return (first[:, None] + torch.arange(prompts, device=device)).flatten()
