"""``fve train`` on a store built from files: dry run, training, resuming, and a coreset's cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
from inline import InlineExecutor
from typer.testing import CliRunner

from fve_pipeline.cli.main import app
from fve_pipeline.errors import TrainError

torch = pytest.importorskip("torch")

CONFIG = """\
[model]
preset = "small"
change = {embed_dim = 16, dim = 32, text_layers = 1, decoder_layers = 2}
[optimisation]
epochs = 1
lr = 1e-3
[data]
prompts = 2
classes_without_positives = true
[run]
device = "cpu"
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tiny.write_cohort(tmp_path_factory.mktemp("cohort"), 5)
    out = tmp_path_factory.mktemp("store") / "slices.zarr"
    executor = InlineExecutor()
    settings = tiny.settings(val_fraction=0.4)
    tiny.build(tiny.datasets(root), out, executor, settings=settings)
    return out


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("config") / "train.toml"
    file.write_text(CONFIG)
    return file


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def test_a_dry_run_reports_and_writes_nothing(store: Path, config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run(store, "--out", out, "--config", config, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["samples"] // 8 == found["steps"] == found["steps_per_epoch"]
    assert found["memory"] == sum(found[k] for k in ("weights", "gradients", "optimiser", "activations"))
    assert not out.exists()
    shown = run(store, "--out", out, "--dry-run")
    assert "371,798,778" in shown.output
    others = CliRunner().invoke(
        app,
        ["train", str(store), "--out", str(out), "--config", str(config), "--dry-run"],
        env={"RANK": "1", "WORLD_SIZE": "2"},
    )
    assert (others.exit_code, others.output) == (0, "")  # one process of torchrun's says it


def test_training_resuming_and_what_is_refused(store: Path, config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = run(store, "--out", out, "--config", config, "--json")
    assert first.exit_code == 0, first.exception
    result = json.loads(first.stdout)
    assert Path(result["checkpoint"]).is_file()
    assert set(result["scores"]) == {"tiny/box", "tiny/left ball", "tiny/both"}
    assert (out / "progress.png").stat().st_size > 10_000
    assert json.loads((out / "settings.json").read_text())["optimisation"]["batch"] == 8
    again = run(store, "--out", out, "--config", config, "--resume")
    assert again.exit_code == 0
    assert f"{result['steps']} steps" in again.output
    assert f"fve predict VOLUMES --weights {out}" in again.output.replace("\n", "")
    assert "presence:" in again.output
    assert isinstance(run(store, "--out", out, "--config", config).exception, TrainError)

    checked = CliRunner().invoke(app, ["weights", "check", str(out / "checkpoints" / "best.pt")])
    assert checked.exit_code == 0
    assert "boundary repeat" in checked.output


def test_a_coreset_is_trained_on_alone(store: Path, config: Path, tmp_path: Path) -> None:
    selection = tmp_path / "core.parquet"
    made = CliRunner().invoke(app, ["coreset", str(store), "--fraction", "0.67", "--out", str(selection)])
    assert made.exit_code == 0, made.output
    whole, part = (
        json.loads(run(store, "--out", tmp_path, "--config", config, "--dry-run", "--json", *extra).stdout)
        for extra in ((), ("--coreset", selection))
    )
    assert 0 < part["samples"] < whole["samples"]
