"""A model in the layout of model hubs, and what it says it has learnt from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from fve_pipeline.cli.main import app
from fve_pipeline.errors import CheckpointError
from fve_pipeline.segmenter.checkpoint import open_segmenter, save_weights
from fve_pipeline.segmenter.hub import save_pretrained
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.segmenter.trained_on import TrainedCase, TrainedDataset, TrainedOn

SETTINGS = {"order": 1, "boundary": "repeat", "resize": "opencv", "size": 64}
SEEN = TrainedOn.of(
    [TrainedCase("amos/ct_2", "anna", "b" * 64), TrainedCase("amos/ct_1", "berta", "a" * 64)],
    [TrainedDataset("amos", "CC-BY-4.0", "Ji 2022: AMOS", "an address")],
)


def test_a_model_goes_to_a_hubs_folder_and_back(
    tmp_path: Path, tiny_random: Callable[..., Segmenter]
) -> None:
    model = tiny_random()
    save_weights(tmp_path / "own.pt", model, SETTINGS, SEEN)
    result = CliRunner().invoke(
        app, ["weights", "export", str(tmp_path / "own.pt"), "--out", str(tmp_path / "hub")]
    )
    assert result.exit_code == 0, result.output
    hub = tmp_path / "hub"
    assert {path.name for path in hub.iterdir()} == {"model.safetensors", "config.json", "README.md"}
    back, found = open_segmenter(hub)
    assert all(torch.equal(tensor, back.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert found.settings == SETTINGS
    assert found.trained_on.hashes == SEEN.hashes
    # Others read it without us.
    assert load_file(hub / "model.safetensors").keys() == model.state_dict().keys()
    assert json.loads((hub / "config.json").read_text())["segmenter"] == model.config.model_dump(mode="json")
    _, front, words = (hub / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["datasets"] == ["amos"]
    assert "| amos | 2 | CC-BY-4.0 | an address |" in words
    assert "Ji 2022: AMOS" in words
    for path in hub.iterdir():  # whom it has seen stays at home
        assert not any(name.encode() in path.read_bytes() for name in ("anna", "berta", "ct_1"))


def test_a_folder_that_is_in_use_is_left_alone(tmp_path: Path, tiny_random: Callable[..., Segmenter]) -> None:
    save_weights(tmp_path / "own.pt", tiny_random(), SETTINGS)
    with pytest.raises(CheckpointError, match="is there and not empty"):
        save_pretrained(tmp_path / "own.pt", tmp_path)
    card = (save_pretrained(tmp_path / "own.pt", tmp_path / "hub") / "README.md").read_text()
    assert "does not say what it was trained on" in card


def test_what_two_have_learnt_is_joined_without_repeats() -> None:
    other = TrainedOn.of([SEEN.cases[0], TrainedCase("kits/1", "carla", "c" * 64)], SEEN.datasets)
    both = SEEN | other
    assert [case.case for case in both.cases] == ["amos/ct_1", "amos/ct_2", "kits/1"]
    assert both.datasets == SEEN.datasets
    assert TrainedOn.recorded({"trained_on": both.as_content()}) == both
    assert TrainedOn.recorded({}) == TrainedOn()
