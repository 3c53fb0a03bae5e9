"""The small preset learns the organs of a real CT from random weights (slow; skips without the file)."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch

from fve_pipeline.build.cases import Dataset
from fve_pipeline.build.settings import store_settings
from fve_pipeline.catalog import load_catalog
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.segmenter.checkpoint import open_segmenter
from fve_pipeline.store.reader import open_store
from fve_pipeline.training.config import TrainConfig
from fve_pipeline.training.ranks import Ranks
from fve_pipeline.training.store import StoreTraining, StoreValidation
from fve_pipeline.training.trainer import train
from fve_pipeline.training.validation import mean_dice, validate

CATALOG = Path(__file__).resolve().parents[2] / "benchmarks" / "real_ct.toml"


@pytest.mark.slow
@pytest.mark.timeout(2400)  # five minutes on one free core
def test_the_organs_of_a_real_ct_are_learnt(shared_data: Path, executor: Executor, tmp_path: Path) -> None:
    settings = store_settings(size=128, shard_samples=64, val_fraction=0.0, training_views=False)
    dataset = Dataset(load_catalog(str(CATALOG)), shared_data / "ct_totalseg")
    out = tmp_path / "ct.zarr"
    tiny.build([dataset], out, executor, work=tmp_path / "work", settings=settings)
    config = TrainConfig.of(
        {
            "model": {"preset": "small"},
            "optimisation": {"batch": 8, "epochs": 400, "lr": 1e-3, "warmup_steps": 20, "clip": 5.0},
            "data": {"prompts": 4, "augment": "swap", "sampling": "class_balanced"},
            "run": {"precision": "float32", "device": "cpu"},
        }
    )
    opened = open_store(out)
    result = train(config, StoreTraining([opened], config.data), None, tmp_path / "run")
    assert result.checkpoint is not None
    model, _ = open_segmenter(result.checkpoint)
    scores, _ = validate(model, StoreValidation([opened], "train"), Ranks(0, 1, torch.device("cpu")), 0)
    assert len(scores) == 6
    assert mean_dice(scores) > 0.9, scores
