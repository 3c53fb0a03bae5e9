"""Made volumes for the learning benchmark: what a network must know to tell the objects apart is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fve_pipeline.imaging.encoding import encode
from fve_pipeline.loading.share import Batch, Share
from fve_pipeline.segmenter.randomness import combine_keys
from fve_pipeline.segmenter.trained_on import TrainedOn
from fve_pipeline.training.data import CaseSlices

__all__ = ["Cases", "Held", "Maker", "rods", "sparse_discs"]

SIZE = 64
Maker = Callable[[int], tuple[NDArray[np.uint8], NDArray[np.int32]]]


def _noise(rng: np.random.Generator, depth: int) -> NDArray[np.float64]:
    """Grey with soft blotches."""
    coarse = rng.normal(0, 18, (depth, SIZE // 8, SIZE // 8))
    return 100 + coarse.repeat(8, axis=1).repeat(8, axis=2) + rng.normal(0, 8, (depth, SIZE, SIZE))


def _disc(rng: np.random.Generator, radius: float, taken: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A disc (S,S) that touches nothing in ``taken``."""
    y, x = np.mgrid[:SIZE, :SIZE]
    while True:
        cy, cx = rng.uniform(radius + 2, SIZE - radius - 2, 2)
        away = np.hypot(y - cy, x - cx)
        if not (taken & (away <= radius + 2)).any():
            return away <= radius


def rods(number: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Volume (26,S,S) and masks (26,3,S,S) of plates (1 slice), short rods (5) and long rods (15).

    All are discs of one radius and brightness. Above and below each lies nothing, so a slice alone does not
    tell them apart; its neighbours at distance 1 tell plates from rods, and those up to 4 short from long.
    """
    rng = np.random.default_rng([1, number])
    depth = 26
    volume, masks = _noise(rng, depth), np.zeros((depth, 3, SIZE, SIZE), np.int32)
    taken = np.zeros((depth, SIZE, SIZE), bool)
    for kind, length, count in ((2, 15, 1), (1, 5, 3), (0, 1, 6)):
        for _ in range(count):
            start = int(rng.integers(0, depth - length + 1))
            span = slice(start, start + length)
            near = slice(max(0, start - 5), start + length + 5)
            disc = _disc(rng, 6.0, taken[near].any(0))
            taken[near] |= disc
            volume[span][:, disc] = 200
            masks[span, kind][:, disc] = 1
    return (volume + rng.normal(0, 4, volume.shape)).clip(0, 255).astype(np.uint8), masks


def sparse_discs(number: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Volume (24,S,S) and masks (24,2,S,S): a round and a square object, each in 5 slices of the 24.

    Faint blots of the same sizes lie in all slices, which a network that has only learnt outlines takes for
    objects where there are none.
    """
    rng = np.random.default_rng([2, number])
    depth = 24
    volume, masks = _noise(rng, depth), np.zeros((depth, 2, SIZE, SIZE), np.int32)
    y, x = np.mgrid[:SIZE, :SIZE]
    for z in range(depth):
        for _ in range(2):
            volume[z, _disc(rng, rng.uniform(5, 9), np.zeros((SIZE, SIZE), bool))] += 35
    for kind in (0, 1):
        start = int(rng.integers(0, depth - 5))
        cy, cx = rng.uniform(14, SIZE - 14, 2)
        away = np.hypot(y - cy, x - cx) if kind == 0 else np.maximum(abs(y - cy), abs(x - cx))
        inside = away <= 8
        volume[start : start + 5, inside] = 175 + 8 * kind
        masks[start : start + 5, :, inside] = 0
        masks[start : start + 5, kind, inside] = 1
    return (volume + rng.normal(0, 4, volume.shape)).clip(0, 255).astype(np.uint8), masks


@dataclass(frozen=True)
class Case:
    """One made volume, encoded."""

    name: str
    classes: Sequence[str]
    prompts: Sequence[str]
    images: NDArray[np.uint8]
    masks: NDArray[np.int32]

    @property
    def subject(self) -> str:
        return self.name

    @property
    def depth(self) -> int:
        return len(self.images)

    def slices(self, count: int) -> Iterator[CaseSlices]:
        for first in range(0, len(self.images), count):
            part = slice(first, first + count)
            yield CaseSlices(torch.from_numpy(self.images[part]), torch.from_numpy(self.masks[part]), first)


class Cases:
    """Volumes ``numbers`` of ``make``, encoded with ``order``: training and validation data at once."""

    def __init__(self, make: Maker, numbers: Sequence[int], prompts: Sequence[str], order: int = 1) -> None:
        self.prompts = list(prompts)
        made = [make(number) for number in numbers]
        self.found = [
            Case(
                f"made/{n}",
                [f"made/{p}" for p in prompts],
                prompts,
                encode(volume, order, layout="chw"),
                masks,
            )
            for n, (volume, masks) in zip(numbers, made, strict=True)
        ]
        self.images = np.concatenate([case.images for case in self.found])
        self.masks = np.concatenate([case.masks for case in self.found])
        self.settings: Mapping[str, Any] = {
            "order": order,
            "boundary": "repeat",
            "resize": "opencv",
            "size": SIZE,
        }
        self.content_id = f"{make.__name__} {list(numbers)} {order}"
        self.trained_on = TrainedOn()
        self.positives: Mapping[str, int] = {
            f"made/{p}": int(self.masks[:, i].any((1, 2)).sum()) for i, p in enumerate(prompts)
        }

    def __len__(self) -> int:
        return len(self.images)

    def case(self, number: int) -> Case:
        return self.found[number]

    def batches(self, epoch: int, share: Share, start: int) -> Iterator[Batch]:
        order = np.random.Generator(np.random.Philox(key=[0, epoch])).permutation(len(self))
        for step in range(start, len(self) // share.batch):
            for rows in share.pieces(order[step * share.batch : (step + 1) * share.batch].tolist()):
                yield self._batch(rows, epoch)

    def _batch(self, rows: Sequence[int], epoch: int) -> Batch:
        """All classes of each sample, and the two context channels swapped at random, as the paper trains."""
        images = self.images[list(rows)].copy()
        for i, row in enumerate(rows):
            if combine_keys(0, epoch, row) % 2:
                images[i, 1:] = images[i, :0:-1]
        masks = torch.from_numpy(self.masks[list(rows)])
        return Batch(torch.from_numpy(images), masks, [self.prompts] * len(rows), list(rows))


class Held(Cases):
    """As validation data: its length counts cases."""

    def __len__(self) -> int:
        return len(self.found)
