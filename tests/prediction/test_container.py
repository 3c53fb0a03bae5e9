"""The challenge's container: its script runs, its Dockerfile holds together (there is no engine to build it)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
INSTRUCTIONS = {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "ARG", "CMD"}


KINDS: dict[str, dict[str, Any]] = {
    "CT_Abdomen_1": {"1": "liver in abdominal CT", "3": "spleen", "13": "left kidney", "instance_label": 0},
    "MR_Heart_2": {"2": "left ventricle in cardiac MRI", "instance_label": 0},
    "US_Low-limb_3": {"1": "soleus in ultrasound", "2": "gastrocnemius", "instance_label": 0},
    "Microscopy_Nuclei_4": {"1": "nuclei in light-sheet microscopy", "instance_label": 1},
}


def test_predict_sh_on_four_kinds_of_the_challenges_files(
    tmp_path: Path, image: np.ndarray, weights: Path
) -> None:
    (tmp_path / "inputs").mkdir()
    for number, (name, prompts) in enumerate(KINDS.items(), start=1):
        # No two of one shape, the last with so few slices that its instances can be told apart in uint8.
        voxels = image[: 8 - 2 * number or 2, :, number:]
        spacing = np.array([0.5, 0.75, 2.0])
        np.savez_compressed(
            tmp_path / "inputs" / f"{name}.npz", imgs=voxels, spacing=spacing, text_prompts=prompts
        )
    parts = [str(ROOT), str(ROOT / "kernels"), str(ROOT / "catalogs")]
    own = {"PYTHON": sys.executable, "FVE_WEIGHTS": str(weights), "PYTHONPATH": os.pathsep.join(parts)}
    command = ["sh", ROOT / "predict.sh", "--device", "cpu", "--instances", "split"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | own, check=True)
    for name, prompts in KINDS.items():
        with np.load(tmp_path / "inputs" / f"{name}.npz", allow_pickle=True) as given:
            shape = given["imgs"].shape
        with np.load(tmp_path / "outputs" / f"{name}.npz") as made:
            assert list(made) == ["segs"]
            segs = made["segs"]
        assert segs.shape == shape
        assert segs.dtype == np.uint8
        found = {int(one) for one in np.unique(segs)} - {0}
        if prompts["instance_label"]:
            assert found == set(range(1, len(found) + 1))
            assert len(found) > 1
        else:
            assert found
            assert found <= {int(key) for key in prompts if key != "instance_label"}


def test_dockerfile_names_known_instructions_and_files_that_exist() -> None:
    text = (ROOT / "Dockerfile").read_text()
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    lines = [line.split() for line in joined.splitlines() if line.strip()]
    assert lines[0][0] == "FROM"
    assert {line[0] for line in lines} == INSTRUCTIONS
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in lines:
        if line[0] == "COPY" and not line[1].startswith("--from="):
            for source in line[1:-1]:
                name = source.replace("${WEIGHTS}", "weights.ckpt")
                assert name in allowed
                assert name == "weights.ckpt" or (ROOT / name).exists(), name
    assert lines[-1] == ["CMD", '["sh",', '"predict.sh"]']
