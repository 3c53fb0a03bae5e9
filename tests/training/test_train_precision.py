"""What may be set of how a run computes leaves the curve where it is, within the bounds of its rounding."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from training_cases import MadeData, config

from fve_pipeline.training.precision import Precision
from fve_pipeline.training.trainer import train


def _losses(out: Path, **run: object) -> list[float]:
    train(config(run, epochs=1), MadeData(), None, out)
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    return _losses(tmp_path_factory.mktemp("plain"))


# Four steps: later ones make much of little. bf16 keeps 8 bits of a number, TF32 11; the others 24.
@pytest.mark.parametrize(
    ("name", "run", "bound"),
    [
        ("bf16", {"precision": "bf16"}, 0.03),
        ("tf32", {"precision": "tf32"}, 0.01),
        ("no fused update", {"fused": False}, 1e-3),
        pytest.param(
            *("compiled", {"compile": True}, 2e-3),
            # Torch's own, while it compiles.
            marks=[pytest.mark.slow, pytest.mark.filterwarnings("ignore")],
        ),
    ],
)
def test_the_curve_stays_within_bounds(
    plain: list[float], tmp_path: Path, name: str, run: dict[str, object], bound: float
) -> None:
    del name
    np.testing.assert_allclose(_losses(tmp_path, **run), plain, rtol=bound)


def test_the_processs_switches_are_set_and_set_back() -> None:
    before = torch.get_float32_matmul_precision()
    with Precision.of("tf32", "cuda").products():
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.allow_tf32
        with Precision.of("float32", "cuda").products():
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == before
    assert Precision.of("auto", "cuda") == Precision.of("bf16", "cpu")
    assert Precision.of("auto", "cpu") == Precision.of("float32", "cuda")
