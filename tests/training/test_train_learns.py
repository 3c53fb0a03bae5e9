"""A small model learns from random weights, on slices of subjects that it has not seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training_cases import MadeCase, MadeData, MadeValidation

from fve_pipeline.segmenter.checkpoint import open_segmenter
from fve_pipeline.training.config import TrainConfig
from fve_pipeline.training.ranks import Ranks
from fve_pipeline.training.trainer import train
from fve_pipeline.training.validation import validate


@pytest.mark.slow
def test_discs_and_squares_are_learnt_in_a_hundred_steps(tmp_path: Path) -> None:
    config = TrainConfig.of(
        {
            "model": {"preset": "small"},
            "optimisation": {"batch": 8, "epochs": 10, "lr": 1e-3, "warmup_steps": 10},
            "data": {"prompts": 2},
            "run": {"precision": "float32", "device": "cpu", "validate_every": 10},
        }
    )
    trained_on = range(10, 20)
    result = train(config, MadeData(trained_on), MadeValidation((7, 8)), tmp_path)
    assert result.steps == 100
    # Of what the filter leaves out nothing is known yet; masks are learnt first.
    assert all(float(scores["dice_raw"] or 0) > 0.7 for scores in result.scores.values()), result.scores
    assert result.checkpoint is not None
    model, _ = open_segmenter(result.checkpoint)
    seen, _ = validate(model, MadeValidation((10, 11)), Ranks(0, 1, torch.device("cpu")), 0)
    assert all(float(scores["dice_raw"] or 0) > 0.85 for scores in seen.values()), seen
    assert MadeCase(7).subject not in {MadeCase(n).subject for n in trained_on}
