"""Every command on ten kinds of wrong path: a message that names the path and an exit code, never a traceback."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main
from command import run

from fve_pipeline.cli.main import app

# Command: its words, with @ where the wrong path goes.
COMMANDS = {
    "build": "build @ --root . --out new.zarr",
    "prepare": "prepare @ --root . --work work",
    "encode": "encode --work @ --out new.zarr",
    "info": "info @",
    "verify": "verify @",
    "diff": "diff @ @",
    "duplicates": "duplicates @",
    "export": "export @ --to reference-png --out pngs",
    "prune": "prune @",
    "update": "update @ @ --root .",
    "withdraw": "withdraw @ --case made/c00",
    "scan": "scan @ --root . --out scan.parquet",
    "report": "report @ --out page.html",
    "evaluate": "evaluate @ @ --out scores.parquet",
    "compare": "compare @ @",
    "explain": "explain @",
    "view": "view @",
    "catalogs check": "catalogs check @ --root .",
    "catalogs from-nnunet": "catalogs from-nnunet @",
    "catalogs from-bids": "catalogs from-bids @",
    "catalogs from-folder": "catalogs from-folder @",
    "catalogs show": "catalogs show @",
    "catalogs structures": "catalogs structures @",
    "coreset select": "coreset select @ --out chosen.parquet",
    "coreset compare": "coreset compare @",
    "figure encode": "figure encode @ --out figure.png",
    "figure views": "figure views @ --out figure.png",
    "figure sheet": "figure sheet @ --out figure.png",
    "figure classes": "figure classes @ --out figure.png",
    "train": "train @ --out run",
    "predict": "predict @ --weights @ --out maps --prompts liver --modality CT --window soft_tissue",
    "weights check": "weights check @",
    "weights export": "weights export @ --out hub",
    "ablate": "ablate @ --out runs",
}
# What a command may leave beside: its lock, and what failed, on record.
RECORDS = {"work", "new.work", "runs", "maps", "run", "scores.json", "scores.parquet"}
NO_PATH = {"demo", "doctor", "catalogs list", "figure allocation"}


def _file(content: bytes) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(content), None)[1]


def _folder_with(name: str, content: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        (path / name).write_bytes(content)

    return make


PATHS: dict[str, Callable[[Path], None]] = {
    "missing": lambda _: None,
    "empty folder": lambda path: path.mkdir(),
    "empty file": _file(b""),
    "text": _file(b"no store, no catalog\n"),
    "bytes": _file(bytes(range(256))),
    "link to nowhere": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "folder of text": _folder_with("notes.txt", b"nothing"),
    "broken manifest": _folder_with("manifest.json", b"{"),
    "zarr of others": _folder_with("zarr.json", b'{"zarr_format": 3, "node_type": "group"}'),
}


OFTEN = {"bytes", "link to itself"}  # the kinds that found faults; all ten take a minute


def test_every_command_is_in_the_table() -> None:
    found: set[str] = set()

    def below(words: str, command: object) -> None:
        children = getattr(command, "commands", None)
        if not children:
            found.add(words)
        for name, child in (children or {}).items():
            below(f"{words} {name}".strip(), child)

    below("", typer.main.get_command(app))
    assert found == set(COMMANDS) | NO_PATH


@pytest.mark.usefixtures("one_cluster")
@pytest.mark.parametrize(
    "kind", [one if one in OFTEN else pytest.param(one, marks=pytest.mark.slow) for one in PATHS]
)
@pytest.mark.parametrize("command", COMMANDS)
def test_never_a_traceback(
    command: str,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if command in ("train", "predict", "weights check", "weights export", "ablate"):
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    PATHS[kind](tmp_path / "wrong")
    before = {path.name for path in tmp_path.iterdir()}
    code = run(monkeypatch, *(word.replace("@", "wrong") for word in COMMANDS[command].split()))
    told = capsys.readouterr()
    assert code in (1, 2), told.out + told.err
    assert "Traceback" not in told.err
    assert "wrong" in told.out + told.err or os.sep in told.err
    assert {path.name for path in tmp_path.iterdir()} - before <= RECORDS
