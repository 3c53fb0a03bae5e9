"""What is refused before any worker is started, and what a message takes a mistyped name for."""

from __future__ import annotations

from pathlib import Path

import pytest
import store_maker as maker
import tiny
from command import run
from typer.testing import CliRunner

from fve_pipeline.cli.main import app
from fve_pipeline.errors import TrainError
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.runtime import executor
from fve_pipeline.runtime.suggest import beside, near_case
from fve_pipeline.training.config import load_config


@pytest.fixture
def no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "cluster", lambda *_: pytest.fail("workers were started"))


@pytest.fixture
def cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the working directory: ``tiny.toml`` and its cases in ``data``, ``slices.zarr`` of others."""
    root = tiny.write_cohort(tmp_path / "data", 1)
    (tmp_path / "tiny.toml").write_text((root / "tiny.toml").read_text())
    maker.build(LocalFiles(tmp_path / "slices.zarr"), maker.plan({"a": 3}), maker.settings())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("cohort", "no_workers")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "build tiny.toml --root dato --out new.zarr",
            "the root {}/dato is no folder. Did you mean {}/data?",
        ),
        ("build tiny.toml --root . --out new.zarr", "It does match under {}/data: give that as the root"),
        ("build tiny.toml --root data --out slices.zarr --order 2", "order is 1, asked for 2"),
        ("prepare tiny.toml --root dato --work work", "the root {}/dato is no folder"),
        ("scan tiny.toml --root dato --out scan", "the root {}/dato is no folder"),
        ("update slices.zarr tiny.toml --root dato", "the root {}/dato is no folder"),
        ("update slice.zarr tiny.toml --root data", "no store at {}/slice.zarr"),
        (
            "withdraw slice.zarr --case a",
            "no store at {}/slice.zarr (no manifest.json): Did you mean {}/slices.zarr?",
        ),
        (
            "encode --repair slice.zarr",
            "no store at {}/slice.zarr (no manifest.json): Did you mean {}/slices.zarr?",
        ),
        ("build tiny --root data --out new.zarr", "no catalog is called 'tiny'. Did you mean tiny.toml?"),
        (
            "build tin.toml --root data --out new.zarr",
            "tin.toml: no such catalog file. Did you mean tiny.toml?",
        ),
        (
            "predict dat --weights w.pt --out maps --prompts liver",
            "dat: no such file or folder. Did you mean data?",
        ),
        ("view slices.zarr --case b", "has no case 'b'"),
    ],
)
def test_said_before_work(
    words: str, said: str, cohort: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if words.startswith("predict"):
        pytest.importorskip("torch")
    assert run(monkeypatch, *words.split()) == 2
    told = capsys.readouterr().err
    assert said.replace("{}", str(cohort)) in told
    assert told.count("fve: ") == 1


def test_a_name_without_its_dataset_is_completed() -> None:
    cases = ["amos/ct_01", "amos/ct_02", "btcv/ct_02"]
    assert near_case("ct_01", cases) == "Did you mean amos/ct_01? "
    assert near_case("ct_02", cases) == "Did you mean amos/ct_02 or btcv/ct_02? "
    assert near_case("amos/ct_1", cases) == "Did you mean amos/ct_01? "
    assert near_case("elsewhere", cases) == ""


def test_a_folder_that_is_not_there_has_nothing_beside_it(tmp_path: Path) -> None:
    assert beside(tmp_path / "no" / "file.toml") == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[run]\nacumulate = 2\n", "run.acumulate: .* Did you mean accumulate"),
        ("[bio2vol]\ndepht = 2\n", "bio2vol.depht: .* Did you mean depth"),
        ("protocl = 'paper'\n", "protocl: .* Did you mean protocol"),
        ("[run]\nzebra = 2\n", r"run.zebra: [^?]*docs/training.md"),
    ],
)
def test_a_wrong_key_of_training_has_a_neighbour(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "train.toml"
    file.write_text(text)
    with pytest.raises(TrainError, match=said):
        load_config(file)


@pytest.mark.usefixtures("cohort", "no_workers")
def test_memory_for_less_than_a_worker_is_refused_before_one_is_started() -> None:
    words = ["build", "tiny.toml", "--root", "data", "--out", "new.zarr", "--memory", "50MB"]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "50MB is less than one worker takes by itself, about 400.0 MB" in done.output
