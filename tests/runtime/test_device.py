"""Choosing between CPU and GPU, on a machine without one and under the simulator."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fve_pipeline.errors import BuildError
from fve_pipeline.runtime.device import choose_device

SCRIPT = "from fve_pipeline.runtime.device import choose_device; print(choose_device('auto'), choose_device('cuda'))"


def test_cpu_is_always_there() -> None:
    assert choose_device("cpu") == "cpu"
    with pytest.raises(BuildError, match="device is 'tpu'; expected one of cpu, cuda, auto"):
        choose_device("tpu")


def test_cuda_where_there_is_none() -> None:
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "NUMBA_ENABLE_CUDASIM": "0"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=hidden, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "BuildError: no GPU can be used" in done.stderr
    assert "use --device cpu" in done.stderr
    script = SCRIPT.split(", choose_device('cuda')")[0] + ")"
    done = subprocess.run(
        [sys.executable, "-c", script], env=hidden, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["cpu"]


def test_cuda_where_it_is_simulated() -> None:
    simulated = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=simulated, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["cuda", "cuda"]
