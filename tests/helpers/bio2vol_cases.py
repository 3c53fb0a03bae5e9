"""Made sub-volumes in memory for the trainer; run as a script it trains."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from float64 import in_float64

from fve_pipeline.bio2vol.network import PathLayout
from fve_pipeline.bio2vol.objective import SubVolumes
from fve_pipeline.bio2vol.sampling import sub_volume
from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.loading.share import Batch, Share
from fve_pipeline.segmenter.randomness import combine_keys
from fve_pipeline.segmenter.trained_on import TrainedOn
from fve_pipeline.training.config import TrainConfig
from fve_pipeline.training.data import CaseSlices
from fve_pipeline.training.trainer import train

__all__ = ["DEPTH", "SIZE", "MadeCase", "MadeSubVolumes", "MadeValidation", "config", "made_volume"]

DEPTH, SIZE = 9, 64
PROMPTS = ["a thick disc", "a thin disc"]


def made_volume(number: int) -> tuple[np.ndarray, np.ndarray]:
    """(D,3,S,S) slices and (D,2,S,S) masks of discs in a row of slices, and in single ones."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:SIZE, :SIZE]
    volume, masks = rng.normal(110, 12, (DEPTH, SIZE, SIZE)), np.zeros((DEPTH, 2, SIZE, SIZE), np.int64)
    masks[2:7, 0] = np.hypot(y - rng.integers(14, 50), x - 16) <= 9
    for z in range(0, DEPTH, 3):
        masks[z, 1] = np.hypot(y - rng.integers(14, 50), x - 46) <= 9
    volume[masks.any(1)] = 220
    slices = volume.clip(0, 255).astype(np.uint8)
    return np.repeat(slices[:, None], 3, axis=1), masks


class MadeSubVolumes:
    """Training data in memory: sub-volumes around every slice of two volumes."""

    def __init__(self, settings: Bio2VolSettings, numbers: Sequence[int] = (0, 1)) -> None:
        self.made, self.bio2vol = [made_volume(number) for number in numbers], settings
        self.settings: Mapping[str, Any] = {
            "order": 0,
            "boundary": "repeat",
            "resize": "opencv",
            "size": SIZE,
        }
        self.settings = {**self.settings, "bio2vol": settings.model_dump()}
        self.content_id = f"made-{list(numbers)}"
        self.trained_on = TrainedOn()
        self.positives = {"made/thick": 10, "made/thin": 6}

    def __len__(self) -> int:
        return DEPTH * len(self.made)

    def batches(self, epoch: int, share: Share, start: int) -> Iterator[Batch]:
        order = np.random.default_rng([1, epoch]).permutation(len(self)).tolist()
        for step in range(start, len(self) // share.batch):
            for numbers in share.pieces(order[step * share.batch : (step + 1) * share.batch]):
                yield self.read(numbers)

    def read(self, numbers: Sequence[int]) -> SubVolumes:
        images, masks, slices, cuts = [], [], list[int](), []
        for number in numbers:
            volume, centre = divmod(number, DEPTH)
            cut = sub_volume(centre - self.bio2vol.depth // 2, range(DEPTH), self.bio2vol)
            images.append(self.made[volume][0][list(cut.rows)])
            masks.append(self.made[volume][1][list(cut.rows)])
            slices += [combine_keys(number, row) for row in cut.rows]
            cuts.append(cut.places)
        return SubVolumes(
            torch.from_numpy(np.concatenate(images)),
            torch.from_numpy(np.concatenate(masks)),
            [PROMPTS] * len(numbers),
            list(numbers),
            slices,
            PathLayout.of(cuts, self.bio2vol),
        )


class MadeCase:
    """One made volume as a validation case."""

    classes: Sequence[str] = ("made/thick", "made/thin")
    prompts: Sequence[str] = PROMPTS
    depth = DEPTH

    def __init__(self, number: int) -> None:
        self.number, self.name, self.subject = number, f"made/{number}", f"subject {number}"

    def slices(self, count: int) -> Iterator[CaseSlices]:
        images, masks = made_volume(self.number)
        for first in range(0, DEPTH, count):
            part = slice(first, first + count)
            yield CaseSlices(torch.from_numpy(images[part]), torch.from_numpy(masks[part]), first)


class MadeValidation:
    """Volumes that are not trained on."""

    settings: Mapping[str, Any] = {"order": 0, "boundary": "repeat", "resize": "opencv", "size": SIZE}

    def __len__(self) -> int:
        return 2

    def case(self, number: int) -> MadeCase:
        return MadeCase(7 + number)


def config(
    run: Mapping[str, Any] | None = None, bio2vol: Mapping[str, Any] | None = None, **more: Any
) -> TrainConfig:
    """A small model, float32, sub-volumes of five slices."""
    change = {
        "embed_dim": 16,
        "dim": 32,
        "text_layers": 1,
        "drop_path": 0.2,
        "queries": 6,
        "decoder_layers": 3,
    }
    return TrainConfig.of(
        {
            "model": {"preset": "small", "change": change, "frozen": ()},
            "optimisation": {"batch": 4, "epochs": 1, "lr": 1e-3, **more},
            "data": {"prompts": 2},
            "run": {"precision": "float32", "device": "cpu", "checkpoint_every": 2, **(run or {})},
            "bio2vol": {"depth": 5, **(bio2vol or {})},
        }
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--accumulate", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings = config({"accumulate": given.accumulate})
    assert settings.bio2vol is not None
    with in_float64():
        train(settings, MadeSubVolumes(settings.bio2vol), MadeValidation(), given.out)
