"""The commented configuration is the default one, and each of its lines may be taken in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fve_pipeline.cli.main import app
from fve_pipeline.training.config import TrainConfig, load_config
from fve_pipeline.training.config_text import config_text


def test_it_is_the_default(tmp_path: Path) -> None:
    file = tmp_path / "train.toml"
    file.write_text(config_text())
    assert load_config(file) == TrainConfig.of({})
    file.write_text(config_text().replace('protocol = "finetune"', 'protocol = "paper"'))
    assert load_config(file).optimisation.batch == 320


def test_every_commented_key_can_be_taken_in(tmp_path: Path) -> None:
    file = tmp_path / "train.toml"
    file.write_text(re.sub(r"^# (\[bio2vol\]|[a-z_]+ = )", r"\1", config_text(), flags=re.M))
    config = load_config(file)
    assert config.bio2vol is not None
    assert config.run.stop_after == "23h30m"
    for name in TrainConfig.model_fields:
        section = getattr(config, name)
        for key in getattr(type(section), "model_fields", {}):
            assert re.search(rf"^(# )?{key} = ", config_text(), re.M), key


def test_the_command_writes_it_and_ends(tmp_path: Path) -> None:
    file = tmp_path / "new" / "train.toml"
    done = CliRunner().invoke(app, ["train", "--init-config", str(file)])
    assert done.exit_code == 0, done.output
    assert "fve train STORE --out RUN --config" in done.output
    assert file.read_text() == config_text()
    again = CliRunner().invoke(app, ["train", "--init-config", str(file)], env={"COLUMNS": "200"})
    assert again.exit_code == 2
    assert "is there already" in again.output


@pytest.mark.parametrize("key", ["precision", "sampling", "augment", "schedule"])
def test_choices_are_beside_the_key(key: str) -> None:
    assert re.search(rf"^{key} = \"\w+\"  # \w+ \| \w+", config_text(), re.M)
