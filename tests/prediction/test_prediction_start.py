"""What costs seconds before the first slice stays out of prediction."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

SCRIPT = """
import sys
from fve_pipeline.cli.main import main
try:
    main()
except SystemExit as ended:
    assert not ended.code
late = {"torch._dynamo", "torch._inductor", "sympy", "distributed", "sklearn", "matplotlib"}
print(sorted(late & sys.modules.keys()))
"""


def test_nothing_is_imported_that_a_slice_does_not_need(tmp_path: Path, weights: Path) -> None:
    """torch's compiler takes more than a second, its symbolic shapes a third of one."""
    np.savez(tmp_path / "one.npz", imgs=np.zeros((1, 64, 64), np.uint8), spacing=np.ones(3))
    asked = [
        "predict",
        tmp_path / "one.npz",
        "--prompts",
        "liver",
        "--weights",
        weights,
        "--out",
        tmp_path / "out",
    ]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *asked, "--device", "cpu"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "one.npz").is_file()
    assert done.stdout.splitlines()[-1] == "[]"
