"""Help that can be read, words that the shell completes, and errors that a script can read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import store_maker as maker
from command import run
from typer.testing import CliRunner

from fve_pipeline.cli import completion
from fve_pipeline.cli.main import _COMMANDS, app
from fve_pipeline.files.local import LocalFiles

WIDE = {"COLUMNS": "140", "TERM": "dumb"}


def test_commands_stand_in_groups_by_what_one_does() -> None:
    said = CliRunner().invoke(app, ["--help"], env=WIDE).output
    places = [said.index(f"─ {panel} ─") for panel in _COMMANDS]
    assert places == sorted(places)
    assert said.index("│ train ") > said.index("─ Train ─")


def test_paragraphs_fill_the_line_and_examples_keep_theirs() -> None:
    said = CliRunner().invoke(app, ["catalogs", "check", "--help"], env=WIDE).output
    lines = [line.strip() for line in said.splitlines()]
    assert any(line.startswith("Finds missing files") and len(line) > 110 for line in lines)
    assert "fve catalogs check my_dataset.toml --root . --quick --json" in lines


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("build", ["paper|released", "repeat|mirror", "encoded|slices", "lz4|zstd", "cpu|cuda|auto"]),
        ("train", ["finetune|paper", "bio2vol"]),
        ("export", ["reference-png|challenge-npz|nifti|nnunet|ome-zarr|seg|rtstruct|croissant"]),
        ("explain", ["axial|coronal|sagittal", "mean|stride"]),
    ],
)
def test_choices_are_shown(command: str, shown: list[str]) -> None:
    said = CliRunner().invoke(app, [command, "--help"], env=WIDE | {"COLUMNS": "200"}).output
    for choices in shown:
        assert choices in said


def test_stores_and_catalogs_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maker.build(LocalFiles(tmp_path / "data" / "slices.zarr"), maker.plan({"a": 3}), maker.settings())
    (tmp_path / "data" / "other").mkdir()
    (tmp_path / "data" / "mine.toml").touch()
    monkeypatch.chdir(tmp_path)
    assert completion.stores("") == ["data/"]
    assert completion.stores("data/") == ["data/other/", "data/slices.zarr"]
    assert completion.stores("data/sl") == ["data/slices.zarr"]
    assert completion.stores("nowhere/") == []
    assert "data/mine.toml" in completion.catalogs("data/")
    assert completion.catalogs("amos22") == ["amos22_ct", "amos22_mr"]
    asked = {"_FVE_COMPLETE": "complete_bash", "COMP_WORDS": "fve info data/sl", "COMP_CWORD": "2"}
    done = CliRunner().invoke(app, [], env=asked, prog_name="fve")
    assert "data/slices.zarr" in done.output


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        ("info nowhere.zarr --json", "StoreError", "there is no store at"),
        ("explain nowhere.nii.gz --json", "ReadError", "nowhere.nii.gz"),
        ("export a.zarr --to pictures --out x --json", "UsageError", "'pictures' is none of"),
        ("figure classes nowhere.zarr --json", "StoreError", "there is no store at"),
    ],
)
def test_errors_are_json_where_the_result_would_be(
    words: str,
    kind: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *words.split()) == 2
    told = capsys.readouterr()
    error = json.loads(told.out)["error"]
    assert error["kind"] == kind
    assert said in error["message"]
    assert told.err


def test_pictures_say_where_they_are_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "figure", "allocation", "--orders", 1, "--out", "a.png", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"picture": "a.png"}
    assert (tmp_path / "a.png").is_file()
