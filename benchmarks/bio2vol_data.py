"""Made volumes as sub-volumes: plates, short rods and long rods, which a plain slice does not tell apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from learning_data import SIZE, rods

from fve_pipeline.bio2vol.network import Layout
from fve_pipeline.bio2vol.objective import SubVolumes
from fve_pipeline.bio2vol.sampling import sub_volume
from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.segmenter.randomness import combine_keys
from fve_pipeline.train_data import Batch, Share

__all__ = ["PROMPTS", "SPACING", "RodSubVolumes", "held_out"]

PROMPTS = ("a plate", "a short rod", "a long rod")
SPACING = (1.0, 1.0, 1.0)


class RodSubVolumes:
    """Sub-volumes of made volumes ``numbers``: centres hold a class, an epoch takes one slice in seven.

    The number of sub-volumes is the same for every depth, so that all variants take as many steps.
    """

    def __init__(self, numbers: Sequence[int], bio2vol: Bio2VolSettings) -> None:
        made = [rods(number) for number in numbers]
        self.bio2vol, self.depth = bio2vol, len(made[0][0])
        self.volume = np.concatenate([volume for volume, _ in made])
        self.masks = np.concatenate([masks for _, masks in made])
        self.centres = np.flatnonzero(self.masks.any((1, 2, 3)))
        self.settings: Mapping[str, Any] = {
            "order": 0,
            "boundary": "repeat",
            "resize": "opencv",
            "size": SIZE,
            "bio2vol": bio2vol.model_dump(),
        }
        self.content_id = f"rods {list(numbers)}"
        self.positives: Mapping[str, int] = {
            f"made/{p}": int(self.masks[:, i].any((1, 2)).sum()) for i, p in enumerate(PROMPTS)
        }

    def __len__(self) -> int:
        return len(self.centres) // 7

    def batches(self, epoch: int, share: Share, start: int) -> Iterator[Batch]:
        order = np.random.Generator(np.random.Philox(key=[1, epoch])).permutation(self.centres)
        for step in range(start, len(self) // share.batch):
            for centres in share.pieces(order[step * share.batch : (step + 1) * share.batch].tolist()):
                yield self._read(centres)

    def _read(self, centres: Sequence[int]) -> SubVolumes:
        cuts = []
        for centre in centres:
            first = centre - centre % self.depth
            cuts.append(
                sub_volume(centre - self.bio2vol.depth // 2, (first, first + self.depth), self.bio2vol)
            )
        rows = [row for cut in cuts for row in cut.rows]
        return SubVolumes(
            torch.from_numpy(self.volume[rows])[:, None].expand(-1, 3, -1, -1),
            torch.from_numpy(self.masks[rows]),
            [PROMPTS] * len(centres),
            list(centres),
            [
                combine_keys(centre, row)
                for centre, cut in zip(centres, cuts, strict=True)
                for row in cut.rows
            ],
            Layout.of([cut.places for cut in cuts], self.bio2vol),
        )


def held_out(numbers: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Volumes (z,y,x) uint8 and label maps uint16: class i + 1 is prompt i."""
    found = []
    for number in numbers:
        volume, masks = rods(number)
        labels = (masks * np.arange(1, len(PROMPTS) + 1)[None, :, None, None]).max(1)
        found.append((volume, labels.astype(np.uint16)))
    return found
