"""The tiny model filled by the golden rule, and the golden arrays."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from segmenter_cases import pack

from fve_pipeline.segmenter.config import preset
from fve_pipeline.segmenter.model import Segmenter


@pytest.fixture(scope="session")
def rule(golden: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_fill_rule", golden / "fill_rule.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def arrays(golden: Path) -> dict[str, np.ndarray]:
    found = {}
    for name in ("tiny_forward.npz", "tiny_losses_and_pre.npz"):
        with np.load(golden / name) as file:
            found.update({k: file[k] for k in file})
    return found


@pytest.fixture(scope="session")
def stats(golden: Path) -> dict[str, Any]:
    return json.loads((golden / "tiny_stats.json").read_text())


@pytest.fixture(scope="session")
def tiny(rule: ModuleType) -> Callable[..., Segmenter]:
    """Build the golden tiny model with some of its switches changed."""
    shapes = Segmenter(preset("tiny"), seed=None).state_dict()
    filled = {k: rule.fill_value(k, tuple(v.shape)) for k, v in shapes.items()}
    state = {k: shapes[k] if v is None else torch.from_numpy(v) for k, v in filled.items()}

    def build(**changes: object) -> Segmenter:
        model = Segmenter(preset("tiny").model_copy(update=changes), seed=None)
        model.load_state_dict(state)
        return model.eval()

    return build


@pytest.fixture(scope="session")
def packed(rule: ModuleType) -> torch.Tensor:
    """The golden volume's four slices, (4,3,128,128) uint8."""
    return pack(rule.volume()[0])


@pytest.fixture(scope="session")
def tiny_random() -> Callable[..., Segmenter]:
    """A tiny model of its own starting weights, for tests that need no golden file."""

    def build(**changes: object) -> Segmenter:
        return Segmenter(preset("tiny").model_copy(update={"layerscale": 0.5, **changes}), seed=1).eval()

    return build
