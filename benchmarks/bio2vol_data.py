"""Made volumes: plates, short rods and long rods, which a plain slice does not tell apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from learning_data import SIZE
from numpy.typing import NDArray

from fve_pipeline.bio2vol.network import PathLayout
from fve_pipeline.bio2vol.objective import SubVolumes
from fve_pipeline.bio2vol.sampling import sub_volume
from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.loading.share import Batch, Share
from fve_pipeline.segmenter.randomness import combine_keys
from fve_pipeline.segmenter.trained_on import TrainedOn

__all__ = ["PROMPTS", "SPACING", "RodSubVolumes", "held_out", "towers"]

PROMPTS = ("a plate", "a short rod", "a long rod")
SPACING = (1.0, 1.0, 1.0)

_LENGTHS = (1, 5, 14)  # slices of each class's objects
_COUNTS = (5, 3, 1)
_GAP = 4  # empty slices between objects


def towers(number: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Volume (74,S,S) and masks (74,3,S,S) of discs of one size and brightness, one object after the other.

    A slice holds one disc or none. What kind it is of, only its neighbours tell: 2 slices on there is nothing
    after a plate, and 4 slices on after most of a short rod.
    """
    rng = np.random.default_rng([3, number])
    depth = sum(n * (length + _GAP) for n, length in zip(_COUNTS, _LENGTHS, strict=True)) + _GAP
    coarse = rng.normal(0, 18, (depth, SIZE // 8, SIZE // 8)).repeat(8, axis=1).repeat(8, axis=2)
    volume = 100 + coarse + rng.normal(0, 8, (depth, SIZE, SIZE))
    masks = np.zeros((depth, len(_LENGTHS), SIZE, SIZE), np.int32)
    y, x = np.mgrid[:SIZE, :SIZE]
    z = _GAP
    for kind in rng.permutation(np.repeat(np.arange(len(_LENGTHS)), _COUNTS)).tolist():
        cy, cx = rng.uniform(12, SIZE - 12, 2)
        disc, span = np.hypot(y - cy, x - cx) <= 9, slice(z, z + _LENGTHS[kind])
        volume[span][:, disc] = 200
        masks[span, kind][:, disc] = 1
        z = span.stop + _GAP
    return (volume + rng.normal(0, 4, volume.shape)).clip(0, 255).astype(np.uint8), masks


class RodSubVolumes:
    """Sub-volumes of made volumes ``numbers``: centres hold a class, an epoch takes one slice in seven.

    The number of sub-volumes is the same for every depth, so that all variants take as many steps.
    """

    def __init__(self, numbers: Sequence[int], bio2vol: Bio2VolSettings) -> None:
        made = [towers(number) for number in numbers]
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
        self.content_id = f"towers {list(numbers)}"
        self.trained_on = TrainedOn()
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
                sub_volume(centre - self.bio2vol.depth // 2, range(first, first + self.depth), self.bio2vol)
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
            PathLayout.of([cut.places for cut in cuts], self.bio2vol),
        )


def held_out(numbers: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Volumes (z,y,x) uint8 and label maps uint16: class i + 1 is prompt i."""
    found = []
    for number in numbers:
        volume, masks = towers(number)
        labels = (masks * np.arange(1, len(PROMPTS) + 1)[None, :, None, None]).max(1)
        found.append((volume, labels.astype(np.uint16)))
    return found
