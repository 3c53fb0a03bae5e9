"""The examples train: other people's programs on our stores."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def losses(example: str, store: Path, ours: bool) -> list[float]:
    """Losses that an example prints, run as a user would; without us on its path where it needs none of us."""
    paths = os.pathsep.join(str(ROOT / folder) for folder in (".", "kernels", "catalogs"))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1"} | ({"PYTHONPATH": paths} if ours else {})
    command = [sys.executable, str(ROOT / "examples" / example), str(store), "--steps", "20"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return [float(value) for value in re.findall(r"loss ([0-9.]+)", done.stdout)]


def require(*names: str) -> None:
    for name in names:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


@pytest.mark.parametrize("example", ["plain_zarr.py", "plain_tensorstore.py"])
def test_programs_that_have_never_heard_of_us(example: str, stores: dict[str, Path]) -> None:
    require("tensorstore")
    assert "fve_pipeline" not in (ROOT / "examples" / example).read_text()
    found = losses(example, stores["encoded"], ours=False)
    assert len(found) == 20
    assert sum(found[-5:]) < 0.8 * sum(found[:5])


@pytest.mark.slow  # MONAI alone takes seconds to import
def test_monai(stores: dict[str, Path]) -> None:
    require("monai")
    found = losses("with_monai.py", stores["encoded"], ours=True)
    assert len(found) == 20
    assert sum(found[-5:]) < sum(found[:5])


@pytest.mark.slow
def test_lightning(stores: dict[str, Path]) -> None:
    require("lightning")
    found = losses("with_lightning.py", stores["encoded"], ours=True)
    assert len(found) == 20
    assert sum(found[-5:]) < 0.8 * sum(found[:5])
