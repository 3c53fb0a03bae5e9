"""Made data in memory: bright discs and dark squares that come and go along z; run as a script it trains."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from float64 import in_float64

from fve_pipeline.loading.share import Batch, Share
from fve_pipeline.segmenter.randomness import combine_keys
from fve_pipeline.segmenter.trained_on import TrainedOn
from fve_pipeline.training.config import TrainConfig
from fve_pipeline.training.data import CaseSlices
from fve_pipeline.training.trainer import train

__all__ = ["CLASSES", "MadeCase", "MadeData", "MadeValidation", "config", "made_volume"]

SETTINGS = {"order": 1, "boundary": "repeat", "resize": "opencv", "size": 64}
CLASSES = {"made/disc": "a bright disc", "made/square": "a dark square"}


def made_volume(number: int, depth: int = 8, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """(D,3,S,S) uint8 images of order 1 and (D,2,S,S) masks of volume ``number``."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:size, :size]
    volume = rng.normal(110, 12, (depth, size, size))
    masks = np.zeros((depth, 2, size, size), np.int64)
    for z in range(depth):
        cy, cx = rng.integers(14, size - 14, 2)
        if z % 4 != 3:
            masks[z, 0] = (y - cy) ** 2 + (x - cx) ** 2 <= 144
        if z % 4 != 1:
            sy, sx = rng.integers(2, size - 22, 2)
            masks[z, 1, sy : sy + 18, sx : sx + 18] = 1
            masks[z, 1] &= masks[z, 0] == 0
    volume = np.where(masks[:, 0] > 0, 220, np.where(masks[:, 1] > 0, 25, volume))
    slices = volume.clip(0, 255).astype(np.uint8)
    before, after = np.r_[0, : depth - 1], np.r_[1:depth, depth - 1]
    return np.stack([slices, slices[before], slices[after]], axis=1), masks


class MadeData:
    """Training data in memory, in the protocol of ``fve_pipeline.training.data``."""

    def __init__(
        self, volumes: Sequence[int] = (0, 1), prompts: int = 2, seed: int = 0, pause: float = 0
    ) -> None:
        self.seed, self.pause = seed, pause
        parts = [made_volume(number) for number in volumes]
        self.images = np.concatenate([p[0] for p in parts])
        self.masks = np.concatenate([p[1] for p in parts])
        self.prompts = prompts
        self.settings: Mapping[str, Any] = SETTINGS
        self.content_id = f"made-{list(volumes)}"
        self.trained_on = TrainedOn()
        self.positives = {c: int(self.masks[:, i].any((1, 2)).sum()) for i, c in enumerate(CLASSES)}
        self.spoilt: int | None = None

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, epoch: int, share: Share, start: int) -> Iterator[Batch]:
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self)).tolist()
        for step in range(start, len(self) // share.batch):
            for rows in share.pieces(order[step * share.batch : (step + 1) * share.batch]):
                time.sleep(self.pause)
                yield self._batch(epoch, rows)

    def _batch(self, epoch: int, rows: Sequence[int]) -> Batch:
        texts, chosen = list(CLASSES.values()), []
        for row in rows:
            rng = np.random.default_rng(combine_keys(self.seed, epoch, row))
            chosen.append(rng.permutation(2)[: self.prompts].tolist())
        masks = np.stack([self.masks[row][picks] for row, picks in zip(rows, chosen, strict=True)])
        return Batch(
            torch.from_numpy(self.images[list(rows)]),
            torch.from_numpy(masks),
            [[texts[i] for i in picks] for picks in chosen],
            list(rows),
        )


@dataclass(frozen=True)
class MadeCase:
    """One made volume as a validation case."""

    number: int

    @property
    def name(self) -> str:
        return f"made/{self.number}"

    @property
    def subject(self) -> str:
        return f"subject {self.number}"

    @property
    def classes(self) -> Sequence[str]:
        return list(CLASSES)

    @property
    def prompts(self) -> Sequence[str]:
        return list(CLASSES.values())

    @property
    def depth(self) -> int:
        return 8

    def slices(self, count: int) -> Iterator[CaseSlices]:
        images, masks = made_volume(self.number)
        for first in range(0, len(images), count):
            part = slice(first, first + count)
            yield CaseSlices(torch.from_numpy(images[part]), torch.from_numpy(masks[part]), first)


@dataclass(frozen=True)
class MadeValidation:
    """Volumes that are not trained on."""

    numbers: Sequence[int] = (7, 8)
    settings: Mapping[str, Any] = field(default_factory=lambda: SETTINGS)

    def __len__(self) -> int:
        return len(self.numbers)

    def case(self, number: int) -> MadeCase:
        return MadeCase(self.numbers[number])


def config(run: Mapping[str, Any] | None = None, **optimisation: Any) -> TrainConfig:
    """A small model on the made data, float32."""
    change = {"embed_dim": 16, "dim": 32, "text_layers": 1, "drop_path": 0.2, "queries": 6}
    return TrainConfig.of(
        {
            "model": {"preset": "small", "change": change},
            "optimisation": {"batch": 4, "epochs": 2, "lr": 1e-3, **optimisation},
            "data": {"prompts": 2},
            "run": {"precision": "float32", "device": "cpu", "checkpoint_every": 3, **(run or {})},
        }
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--float64", action="store_true")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds before each batch")
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings = config({"accumulate": given.accumulate}, epochs=given.epochs)
    with in_float64() if given.float64 else nullcontext():
        result = train(
            settings, MadeData(pause=given.pause), MadeValidation(), given.out, resume=given.resume
        )
    sys.exit({"interrupted": 130, "requeue": 75}.get(result.stopped, 0))
