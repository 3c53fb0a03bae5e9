"""The challenge's container: its script runs, its Dockerfile holds together (there is no engine to build it)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
INSTRUCTIONS = {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "ARG", "CMD"}


def test_predict_sh_reads_inputs_and_writes_outputs(tmp_path: Path, image: np.ndarray, weights: Path) -> None:
    (tmp_path / "inputs").mkdir()
    prompts = {"1": "liver in abdominal CT", "2": "spleen", "instance_label": 0}
    np.savez_compressed(
        tmp_path / "inputs" / "case.npz", imgs=image, spacing=np.ones(3), text_prompts=prompts
    )
    parts = [str(ROOT), str(ROOT / "kernels"), str(ROOT / "catalogs")]
    own = {"PYTHON": sys.executable, "FVE_WEIGHTS": str(weights), "PYTHONPATH": os.pathsep.join(parts)}
    subprocess.run(
        ["sh", ROOT / "predict.sh", "--device", "cpu"], cwd=tmp_path, env=os.environ | own, check=True
    )
    with np.load(tmp_path / "outputs" / "case.npz") as archive:
        assert archive["segs"].shape == image.shape


def test_dockerfile_names_known_instructions_and_files_that_exist() -> None:
    text = (ROOT / "Dockerfile").read_text()
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    lines = [line.split() for line in joined.splitlines() if line.strip()]
    assert lines[0][0] == "FROM"
    assert {line[0] for line in lines} == INSTRUCTIONS
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in lines:
        if line[0] == "COPY":
            for source in line[1:-1]:
                name = source.replace("${WEIGHTS}", "weights.ckpt")
                assert name in allowed
                assert name == "weights.ckpt" or (ROOT / name).exists(), name
    assert lines[-1] == ["CMD", '["sh",', '"predict.sh"]']
