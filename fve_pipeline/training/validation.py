"""Validation on whole cases: Dice a class and subject, presence by slice, and a picture a case."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fve_pipeline.bio2vol.network import PathLayout, Volumes
from fve_pipeline.bio2vol.sampling import SubVolume
from fve_pipeline.bio2vol.sliding import slide
from fve_pipeline.segmenter.losses import upsample_logits
from fve_pipeline.segmenter.model import Prediction, Segmenter
from fve_pipeline.segmenter.randomness import CounterRandomness, prompt_key
from fve_pipeline.segmenter.text import TextFeatures
from fve_pipeline.training.data import CaseSlices, ValidationCase, ValidationData
from fve_pipeline.training.pictures import draw
from fve_pipeline.training.ranks import Ranks

__all__ = ["CaseTally", "in_words", "mean_dice", "score", "tally_case", "validate"]

# Rows (slices × prompts) that are decoded at once.
_ROWS = 32


@dataclass
class CaseTally:
    """Counts of one case, each (P,): pixels with and without the existence filter, and slices."""

    subject: str
    classes: list[str]
    overlap: NDArray[np.int64]
    predicted: NDArray[np.int64]
    truth: NDArray[np.int64]
    raw_overlap: NDArray[np.int64]
    raw_predicted: NDArray[np.int64]
    found: NDArray[np.int64]
    claimed: NDArray[np.int64]
    present: NDArray[np.int64]
    picture: NDArray[np.uint8] | None = field(default=None, repr=False)


@torch.no_grad()
def tally_case(
    model: Segmenter,
    case: ValidationCase,
    seed: int,
    *,
    picture: bool = False,
    autocast: AbstractContextManager[Any] | None = None,
    volumes: Volumes | None = None,
) -> CaseTally:
    """Predict every slice of ``case``, in sub-volumes of ``volumes`` if given, and count.

    Each class is judged by itself, as a single prompt is: mask above one half where existence is. The draws
    depend on (seed, case, slice, prompt), so validating twice gives the same numbers.
    """
    count = len(case.classes)
    sums = {name: np.zeros(count, np.int64) for name in _COUNTS}
    best, drawn = -1, None
    with autocast or nullcontext():
        text = model.encode_text(model.tokenize(case.prompts))
    draws = _Draws(seed, zlib.crc32(case.name.encode()), [prompt_key(prompt) for prompt in case.prompts])
    parts = _slices(model, case, text, draws) if volumes is None else _sliding(volumes, case, text, draws)
    while True:
        with autocast or nullcontext():
            found = next(parts, None)
        if found is None:
            return CaseTally(case.subject, list(case.classes), **sums, picture=drawn)
        part, got = found
        size = (part.masks.shape[-2], part.masks.shape[-1])
        raw = upsample_logits(got.masks, size).cpu() > 0
        exists = got.existence.float().cpu() > 0
        truth, final = part.masks > 0, raw & exists[..., None, None]
        for key, value in zip(_COUNTS, _count(truth, raw, final, exists), strict=True):
            sums[key] += value.numpy()
        area = truth.sum((1, 2, 3))
        if picture and int(area.max()) > best:
            best, at = int(area.max()), int(area.argmax())
            drawn = draw(
                part.images[at, 0].numpy(),
                truth[at].numpy(),
                final[at].numpy(),
                f"{case.name}, slice {part.first + at} of 0 to {case.depth - 1}",
                list(case.classes),
            )


@dataclass(frozen=True)
class _Draws:
    """Keys of a case's random numbers."""

    seed: int
    case: int
    prompts: Sequence[int]

    def slices(self, numbers: Iterable[int]) -> list[int]:
        return [self.case + (number << 32) for number in numbers]


def _slices(
    model: Segmenter, case: ValidationCase, text: TextFeatures, draws: _Draws
) -> Iterator[tuple[CaseSlices, Prediction]]:
    """Slice by slice, several at a time."""
    device = model.pixel_mean.device
    for part in case.slices(max(1, _ROWS // len(case.classes))):
        ids = draws.slices(range(part.first, part.first + len(part.images)))
        keys = CounterRandomness.of(draws.seed, ids, [draws.prompts] * len(ids)).to(device)
        yield part, model(part.images.to(device), text.shared_by(len(ids)), keys)


def _sliding(
    volumes: Volumes, case: ValidationCase, text: TextFeatures, draws: _Draws
) -> Iterator[tuple[CaseSlices, Prediction]]:
    """Sub-volume by sub-volume; slices are kept until no later one reads them."""
    device = volumes.model.pixel_mean.device
    held: dict[int, tuple[Tensor, Tensor]] = {}
    read = (
        (part.first + i, s)
        for part in case.slices(4)
        for i, s in enumerate(zip(part.images, part.masks, strict=True))
    )

    def predict(cut: SubVolume) -> Prediction:
        while cut.rows[-1] not in held:
            number, slices = next(read)
            held[number] = slices
        images = torch.stack([held[row][0] for row in cut.rows]).to(device)
        layout = PathLayout.of([cut.places], volumes.settings)
        keys = layout.randomness(draws.seed, draws.slices(cut.rows), [draws.prompts])
        return volumes.predict(images, layout, text, keys.to(device))

    for rows, got in slide(predict, case.depth, volumes.settings):
        own = [held.pop(row) for row in rows]
        yield CaseSlices(torch.stack([i for i, _ in own]), torch.stack([m for _, m in own]), rows.start), got


_COUNTS = ("overlap", "predicted", "truth", "raw_overlap", "raw_predicted", "found", "claimed", "present")


def _count(truth: Tensor, raw: Tensor, final: Tensor, exists: Tensor) -> list[Tensor]:
    """In the order of ``_COUNTS``, each (P,), from masks (D,P,S,S) and existence (D,P)."""
    pixels, present = (0, 2, 3), truth.any(3).any(2)
    return [
        (truth & final).sum(pixels),
        final.sum(pixels),
        truth.sum(pixels),
        (truth & raw).sum(pixels),
        raw.sum(pixels),
        (present & exists).sum(0),
        exists.sum(0),
        present.sum(0),
    ]


def _ratio(a: int, b: int) -> float | None:
    return a / b if b else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def score(tallies: Sequence[CaseTally]) -> dict[str, dict[str, float | int | None]]:
    """By class: ``dice`` and ``dice_raw`` (no existence filter), ``precision``, ``recall`` and ``f1`` of presence.

    Dice is that of whole cases where the class is present, averaged over a subject's cases, or the findings of its cases,
    then over subjects; ``subjects`` counts those. Presence counts slices of all cases. None where there is nothing to
    divide by.
    """
    scores: dict[str, dict[str, float | int | None]] = {}
    for name in sorted({c for t in tallies for c in t.classes}):
        own = [(t, i) for t in tallies for i, held in enumerate(t.classes) if held == name]
        by_subject: dict[str, list[tuple[float, float]]] = {}
        for t, i in own:
            if t.truth[i]:
                dice = 2 * t.overlap[i] / (t.predicted[i] + t.truth[i])
                raw = 2 * t.raw_overlap[i] / (t.raw_predicted[i] + t.truth[i])
                by_subject.setdefault(t.subject, []).append((float(dice), float(raw)))
        found, claimed, present = (
            int(sum(getattr(t, k)[i] for t, i in own)) for k in ("found", "claimed", "present")
        )
        scores[name] = {
            "dice": _mean([_mean([d for d, _ in cases]) for cases in by_subject.values()]),
            "dice_raw": _mean([_mean([r for _, r in cases]) for cases in by_subject.values()]),
            "precision": _ratio(found, claimed),
            "recall": _ratio(found, present),
            "f1": _ratio(2 * found, claimed + present),
            "subjects": len(by_subject),
        }
    return scores


def validate(
    model: Segmenter,
    data: ValidationData,
    ranks: Ranks,
    seed: int,
    pictures: int = 0,
    autocast: AbstractContextManager[Any] | None = None,
    volumes: Volumes | None = None,
) -> tuple[dict[str, dict[str, float | int | None]], list[NDArray[np.uint8]]]:
    """Scores by class over all cases, each rank taking every world-th, and pictures of the first cases.

    ``volumes``: the adaptation of ``model``, if it is one that reads across slices.
    """
    training = model.training
    model.eval()
    mine = [
        (
            number,
            tally_case(
                model, data.case(number), seed, picture=number < pictures, autocast=autocast, volumes=volumes
            ),
        )
        for number in range(ranks.rank, len(data), ranks.world)
    ]
    model.train(training)
    every = sorted((item for part in ranks.gather(mine) for item in part), key=lambda item: item[0])
    drawn = [tally.picture for _, tally in every if tally.picture is not None]
    return score([tally for _, tally in every]), drawn


def in_words(scores: dict[str, dict[str, float | int | None]]) -> str:
    """Return the means over classes as one line that says what each number is."""
    named = {"dice": "mean Dice", "precision": "presence: precision", "recall": "recall"}
    means = {told: _mean([values[key] for values in scores.values()]) for key, told in named.items()}
    return ", ".join(f"{told} {'none' if mean is None else f'{mean:.3f}'}" for told, mean in means.items())


def mean_dice(scores: dict[str, dict[str, float | int | None]]) -> float:
    """Mean Dice over the classes that have one; 0 if none does."""
    return _mean([values["dice"] for values in scores.values()]) or 0.0
