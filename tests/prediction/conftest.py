"""A small model of random weights, and volumes in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fve_pipeline.segmenter.checkpoint import save_weights
from fve_pipeline.segmenter.config import preset
from fve_pipeline.segmenter.model import Segmenter

PAPER = {"order": 1, "boundary": "repeat", "resize": "opencv", "size": 64}


def random_model(seed: int = 1, **switches: Any) -> Segmenter:
    """Random weights that find everything present, so that masks are seen."""
    model = Segmenter(preset("small").model_copy(update=switches), seed=seed)
    torch.nn.init.constant_(model.sem_seg_head.predictor.classifier.bias, 3.0)
    return model.eval()


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    save_weights(path, random_model(), PAPER)
    return path


@pytest.fixture(scope="session")
def model_of() -> Callable[..., Segmenter]:
    return random_model


@pytest.fixture
def image() -> np.ndarray:
    """A smooth volume (z,y,x) uint8 with some structure."""
    z, y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in (10, 44, 52)), indexing="ij")
    field = 120 + 80 * np.sin(9 * x + 3 * z) * np.cos(7 * y) + 40 * (x > 0.5)
    return np.clip(field, 0, 255).astype(np.uint8)
