"""Training on sub-volumes: one curve however it is carried out."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from bio2vol_cases import MadeSubVolumes, MadeValidation, config
from float64 import in_float64

from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.errors import TrainError
from fve_pipeline.segmenter.checkpoint import open_segmenter
from fve_pipeline.training.config import TrainConfig, load_config
from fve_pipeline.training.estimate import estimate
from fve_pipeline.training.trainer import train

SCRIPT = Path(__file__).parents[1] / "helpers" / "bio2vol_cases.py"


@pytest.fixture(scope="module", autouse=True)
def _exact() -> Iterator[None]:
    torch.set_num_threads(1)
    with in_float64():
        yield


def losses_of(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["what"] == "train"]


def data(settings: TrainConfig) -> MadeSubVolumes:
    assert settings.bio2vol is not None
    return MadeSubVolumes(settings.bio2vol)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    settings = config()
    result = train(settings, data(settings), MadeValidation(), out)
    assert result.steps == 4
    assert set(result.scores) == {"made/thick", "made/thin"}
    return out


def test_a_run_logs_the_alignment_and_records_the_adaptation(whole: Path) -> None:
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert all(-2 <= line["alignment"] <= 2 for line in lines if line["what"] == "train")
    _, checkpoint = open_segmenter(whole / "checkpoints" / "best.pt")
    assert Bio2VolSettings.model_validate(checkpoint.settings["bio2vol"]) == config().bio2vol


def test_two_processes_and_pieces_give_the_same_curve(whole: Path, tmp_path: Path) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    paths = os.pathsep.join(p for p in sys.path if p)
    both = []
    for rank in (0, 1):
        group = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "MASTER_PORT": str(port), **group}
        command = [sys.executable, str(SCRIPT), str(tmp_path), "--accumulate", "2"]
        both.append(subprocess.Popen(command, env=env, text=True, stderr=subprocess.PIPE))
    for process in both:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert losses_of(tmp_path) == pytest.approx(losses_of(whole), rel=1e-6)


def test_resuming_and_recomputing_give_the_same_curve(whole: Path, tmp_path: Path) -> None:
    settings = config({"recompute": True})

    class Stopping(MadeSubVolumes):
        def read(self, numbers):  # type: ignore[no-untyped-def]
            self.reads = getattr(self, "reads", 0) + 1
            if self.reads > 3:
                raise KeyboardInterrupt
            return super().read(numbers)

    assert settings.bio2vol is not None
    with pytest.raises(KeyboardInterrupt):
        train(settings, Stopping(settings.bio2vol), MadeValidation(), tmp_path)
    train(settings, data(settings), MadeValidation(), tmp_path, resume=True)
    assert losses_of(tmp_path) == pytest.approx(losses_of(whole), rel=1e-6)
    other = config(bio2vol={"heads": 2})
    with pytest.raises(TrainError, match=r"\[bio2vol\] heads = 1, now 2"):
        train(other, data(other), MadeValidation(), tmp_path, resume=True)


def test_the_papers_settings_under_what_is_said(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text("[optimisation]\nbatch = 2\n[data]\nprompts = 3\n[bio2vol]\ndepth = 5\n")
    for found in (load_config(path), load_config(path, "bio2vol")):
        assert found.bio2vol == Bio2VolSettings(depth=5)
        assert found.model.frozen == ("backbone",)
        assert (found.data.order, found.data.augment, found.data.prompts) == (0, "none", 3)
        settings = found.optimisation
        assert (settings.batch, settings.epochs, settings.lr, settings.weight_decay) == (2, 20, 1e-5, 0)
        assert (settings.schedule, settings.clip) == ("constant", 0)
    paper = load_config(None, "bio2vol")
    assert paper.optimisation.batch == 5
    assert paper.bio2vol == Bio2VolSettings(
        depth=7, dense_rate=1, sparse_rate=2, heads=1, offset=2, alignment=1.0
    )
    assert load_config(None).bio2vol is None
    with pytest.raises(TrainError, match="unknown; known: bio2vol"):
        load_config(None, "lora")


def test_the_estimate_counts_both_paths() -> None:
    plain = estimate(config(bio2vol={"depth": 1, "sparse_rate": 0}), 8, 64)
    found = estimate(config(), 8, 64)
    assert found.parts == plain.parts
    assert found.activations > 5 * plain.activations
