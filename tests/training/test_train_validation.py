"""Scores by subject, and what a validation pass counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from training_cases import MadeCase, MadeValidation, made_volume

from fve_pipeline.segmenter.config import preset
from fve_pipeline.segmenter.model import Prediction, Segmenter
from fve_pipeline.training.config import TrainConfig
from fve_pipeline.training.data import CaseSlices
from fve_pipeline.training.estimate import FORMULAS, estimate, measured_rate, pass_cost
from fve_pipeline.training.pictures import draw
from fve_pipeline.training.ranks import Ranks
from fve_pipeline.training.validation import CaseTally, in_words, mean_dice, score, tally_case, validate

ALONE = Ranks(0, 1, torch.device("cpu"))


def tally(subject: str, truth: int, overlap: int, predicted: int, **slices: int) -> CaseTally:
    given = {"found": 2, "claimed": 4, "present": 3, **slices}
    counts = {"truth": truth, "overlap": overlap, "predicted": predicted}
    raw = {"raw_overlap": overlap, "raw_predicted": predicted + 100}
    arrays = {k: np.array([v]) for k, v in {**counts, **raw, **given}.items()}
    return CaseTally(subject, ["made/disc"], **arrays)


def test_dice_is_averaged_over_a_subjects_cases_and_then_over_subjects() -> None:
    tallies = [tally("a", 10, 10, 10), tally("a", 10, 5, 10), tally("b", 20, 0, 20), tally("c", 0, 0, 7)]
    scores = score(tallies)["made/disc"]
    assert scores["dice"] == pytest.approx(((1.0 + 0.5) / 2 + 0.0) / 2)
    assert scores["subjects"] == 2
    assert scores["dice_raw"] == pytest.approx(((20 / 120 + 10 / 120) / 2 + 0) / 2)
    assert scores["precision"] == pytest.approx(8 / 16)
    assert scores["recall"] == pytest.approx(8 / 12)
    assert scores["f1"] == pytest.approx(2 * 8 / (16 + 12))


def test_nothing_to_divide_by_is_none_and_not_a_number() -> None:
    scores = score([tally("a", 0, 0, 0, found=0, claimed=0, present=0)])
    assert scores["made/disc"] == {
        "dice": None,
        "dice_raw": None,
        "precision": None,
        "recall": None,
        "f1": None,
        "subjects": 0,
    }
    assert mean_dice(scores) == 0.0


class Knowing(torch.nn.Module):
    """Predicts what it is told: the masks of a made volume, absent on slice 2."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.pixel_mean = torch.zeros(1)
        _, masks = made_volume(number)
        self.masks = torch.from_numpy(masks).float()
        self.at = 0

    def tokenize(self, prompts: Any) -> Any:
        return prompts

    def encode_text(self, *_: Any) -> Any:
        return self

    def shared_by(self, *_: Any) -> Any:
        return self

    def forward(self, images: torch.Tensor, *_: Any) -> Prediction:
        masks = self.masks[self.at : self.at + len(images)]
        exists = masks.flatten(2).any(2).float() * 2 - 1
        exists[[z for z in range(len(images)) if self.at + z == 2]] = -1.0
        self.at += len(images)
        low = torch.nn.functional.avg_pool2d(masks, 4) * 20 - 10
        return Prediction(low, low, exists)


def test_the_existence_filter_takes_a_slice_out_of_the_prediction() -> None:
    _, masks = made_volume(5)
    found = tally_case(Knowing(5), MadeCase(5), seed=0)  # type: ignore[arg-type]
    there = masks.any((2, 3))
    assert found.present.tolist() == there.sum(0).tolist()
    assert found.found.tolist() == (there.sum(0) - there[2]).tolist()
    assert found.truth.tolist() == masks.sum((0, 2, 3)).tolist()
    lost = masks[2].sum((1, 2))
    assert (found.raw_overlap > 0.9 * found.truth).all()
    np.testing.assert_allclose(found.raw_overlap - found.overlap, lost, atol=0.1 * lost.max() + 1)


def test_validating_twice_gives_the_same_and_leaves_the_mode() -> None:
    model = Segmenter(preset("small")).train()
    first, pictures = validate(model, MadeValidation((3,)), ALONE, 0, pictures=1)
    again, none = validate(model, MadeValidation((3,)), ALONE, 0)
    assert first == again
    assert model.training
    assert pictures[0].shape[1] == 2 * 512 + 4
    assert not none


def test_a_picture_outlines_truth_and_prediction() -> None:
    mask = np.zeros((2, 16, 16), bool)
    mask[0, 4:9, 4:9] = True
    focal = np.full((16, 16), 50, np.uint8)
    picture = draw(focal, mask, np.zeros_like(mask), "made/7, slice 3", ["disc", "square"])
    head = 2 * 22 + 8
    slices = picture[head : head + 512]
    left, right = slices[:, :512], slices[:, 516:]
    coloured = (left != 50).any(2)
    assert 4 * 5 * 32 < coloured.sum() < 4 * 5 * 32 * 4  # a line around five pixels of 32, two or three thick
    assert (right == 50).all()
    assert picture[:head].max() > 200  # words above
    named = picture[head + 512 :]
    assert named.shape[0] == 22 + 8  # one class is in it, in its own colour
    assert (named[..., 0] > 200).any()
    assert not (named[..., 1] > 200).any()
    blank = draw(focal, np.zeros_like(mask), np.zeros_like(mask), "made/7", ["disc", "square"])
    assert blank[head + 512 :].max() > 200


@dataclass(frozen=True)
class Empty(MadeCase):
    """A case in which nothing is present."""

    def slices(self, count: int) -> Iterator[CaseSlices]:
        for part in super().slices(count):
            yield CaseSlices(part.images, torch.zeros_like(part.masks), part.first)


def test_a_case_without_objects_counts_for_presence_only() -> None:
    scores = score([tally_case(Segmenter(preset("small")).eval(), Empty(3), seed=0)])
    assert all(values["dice"] is None and values["subjects"] == 0 for values in scores.values())


def test_the_estimate_counts_what_a_step_keeps() -> None:
    config = TrainConfig.of(
        {"model": {"preset": "full", "frozen": ["backbone"]}, "run": {"precision": "float32"}}
    )
    found = estimate(config, 100, 128)
    assert sum(every for every, _ in found.parts.values()) == 371_798_778
    assert found.parts["backbone"] == (205_746_936, 0)
    assert found.weights == 4 * 371_798_778
    assert found.optimiser == 2 * found.gradients
    assert (found.steps_per_epoch, found.steps) == (12, 120)
    assert found.memory > found.weights


def test_activations_grow_with_the_batch_and_shrink_when_recomputed() -> None:
    with torch.device("meta"):
        model = Segmenter(preset("small"), seed=None).train()
    one, two = (pass_cost(model, n, 2, 64).activations for n in (1, 2))
    assert 1.7 < two / one < 2.1
    model.recompute_activations()
    assert pass_cost(model, 2, 2, 64).activations < 0.7 * two


def test_operations_of_known_modules_and_what_is_not_trained_is_not_gone_back_through() -> None:
    with torch.device("meta"):
        model = Segmenter(preset("small"), seed=None).train()
    one, two = (pass_cost(model, n, 2, 64).flops for n in (1, 2))
    assert two == 2 * one
    for parameter in model.backbone.parameters():
        parameter.requires_grad_(False)
    assert 0.3 < pass_cost(model, 1, 2, 64).flops / one < 0.9
    model.requires_grad_(True).recompute_activations()
    assert 1.05 < pass_cost(model, 1, 2, 64).flops / one < 1.4


def test_going_back_through_a_grouped_convolution_costs_twice_going_forward() -> None:
    forward, both = [], []
    for groups in (1, 8):
        layer = torch.nn.Conv2d(8, 8, 3, padding=1, groups=groups, device="meta")
        image = torch.zeros(1, 8, 16, 16, device="meta", requires_grad=True)
        with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
            found = layer(image)
            forward.append(counter.get_total_flops())
            found.sum().backward()
        both.append(counter.get_total_flops())
    assert forward == [2 * 16 * 16 * 8 * 8 * 9, 2 * 16 * 16 * 8 * 9]
    assert both == [3 * one for one in forward]


def test_the_measured_rate_is_of_this_machine() -> None:
    config = TrainConfig.of(
        {"model": {"preset": "small"}, "optimisation": {"batch": 2}, "run": {"precision": "float32"}}
    )
    assert 1e6 < measured_rate(config, 64, 1, "cpu") < 1e15


def test_the_line_after_a_validation_names_its_numbers() -> None:
    scores = score([tally("a", 100, 50, 100)])
    assert in_words(scores) == "mean Dice 0.500, presence: precision 0.500, recall 0.667"
    assert in_words({}) == "mean Dice none, presence: precision none, recall none"
