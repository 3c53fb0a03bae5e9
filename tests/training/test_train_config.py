"""Protocols, the TOML file over them, and messages that name the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from fve_pipeline.errors import TrainError
from fve_pipeline.loading.share import Share
from fve_pipeline.training.config import ModelSettings, load_config


def test_the_protocols_are_the_released_fine_tuning_and_the_papers() -> None:
    tune, paper = load_config(None), load_config(None, protocol="paper")
    assert tune.protocol == "finetune"
    assert (tune.optimisation.batch, tune.optimisation.epochs, tune.optimisation.clip) == (8, 10, 5.0)
    assert (paper.optimisation.batch, paper.optimisation.epochs) == (320, 80)
    for config in (tune, paper):
        assert (config.optimisation.lr, config.optimisation.weight_decay) == (1e-5, 1e-2)
        assert config.optimisation.schedule == "cosine"
        assert config.data.prompts == 4
        assert (config.losses.classification, config.losses.edge, config.losses.positive) == (1.0, 1.0, 3.0)
        assert config.model.config().stop_gradient


def test_a_file_comes_over_its_protocol(tmp_path: Path) -> None:
    file = tmp_path / "train.toml"
    file.write_text(
        'protocol = "paper"\n[optimisation]\nlr = 2e-4\n[model]\npreset = "small"\nfrozen = ["text"]\n'
        '[model.change]\ntext_padding = "reference"\n[run]\nprecision = "bf16"\n'
    )
    config = load_config(file)
    assert (config.optimisation.batch, config.optimisation.lr) == (320, 2e-4)
    assert config.model.config().text_padding == "reference"
    assert config.model.frozen == ("text",)
    assert load_config(file, protocol="finetune").optimisation.batch == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[optimisation]\nlearning_rate = 1.0", "optimisation.learning_rate: Extra inputs"),
        ("[optimisation]\nlr = -1.0", "optimisation.lr: .*greater than 0.*-1.0"),
        ('[model]\nfrozen = ["head"]', "model.frozen.0: .*'backbone'"),
        ('protocol = "quick"', "protocol: .*'finetune' or 'paper'"),
        ("optimisation = 3", "optimisation: .*found 3"),
        ("[optimisation", "not TOML"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "train.toml"
    file.write_text(text)
    with pytest.raises(TrainError, match=f"train.toml: .*{message}"):
        load_config(file)


def test_what_the_model_section_may_not_say() -> None:
    with pytest.raises(TrainError, match="no such file"):
        load_config(Path("nowhere.toml"))
    with pytest.raises(TrainError, match="'huge': unknown; known: full, tiny, small, base"):
        ModelSettings(preset="huge").config()
    with pytest.raises(TrainError, match=r"\[model.change\]: dims: Extra inputs"):
        ModelSettings(change={"dims": 3}).config()


@pytest.mark.parametrize(("world", "accumulate"), [(1, 1), (2, 3), (4, 2)])
def test_shares_cover_a_batch_once(world: int, accumulate: int) -> None:
    rows = list(range(100, 124))
    pieces = [p for r in range(world) for p in Share(24, r, world, accumulate).pieces(rows)]
    assert [row for piece in pieces for row in piece] == rows
    assert {len(piece) for piece in pieces} == {24 // (world * accumulate)}
