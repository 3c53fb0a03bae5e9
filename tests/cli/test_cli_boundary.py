"""What a user sees who gives a wrong path, or has not installed an extra: one message, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fve_pipeline.cli.main import app, main

# Runs one command where torch is not installed.
WITHOUT_TORCH = """
import sys
class Missing:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from fve_pipeline.cli.main import main
main()
"""


@pytest.mark.parametrize(
    "words",
    [
        ["train", "a.zarr", "--out", "run"],
        ["predict", "scan.nii.gz", "--prompts", "liver", "--weights", "w.pt", "--out", "maps"],
        ["weights", "check", "w.pt"],
    ],
    ids=lambda words: words[0],
)
def test_without_torch_the_extra_is_named(words: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "the package torch (training, prediction, torch datasets) is not installed" in done.stderr
    assert "pip install 'fve-pipeline[train]'" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["info"],
        ["verify"],
        ["report", "--out", "page.html"],
        ["coreset", "--out", "chosen.json"],
        ["view"],
    ],
    ids=lambda words: words[0],
)
def test_a_file_is_no_store(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "volume.nii.gz").write_bytes(b"no store")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fve", words[0], "volume.nii.gz", *words[1:]])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "volume.nii.gz is a file; a store is a folder" in capsys.readouterr().err


def test_explain_says_that_a_store_is_one(tmp_path: Path) -> None:
    (tmp_path / "slices.zarr").mkdir()
    (tmp_path / "slices.zarr" / "manifest.json").write_text("{}")
    result = CliRunner().invoke(app, ["explain", str(tmp_path / "slices.zarr")], env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert "is a store; expected a volume" in result.output
    assert "fve view" in result.output
