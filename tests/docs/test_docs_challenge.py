"""The challenge's tutorial from end to end: each of its commands, on the challenge's folders in small."""

from __future__ import annotations

import importlib.util
import re
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from command import run
from pages import DOCS, blocks, commands

from fve_pipeline.store.reader import open_store

PAGE = DOCS / "tutorials" / "challenge.md"
COMMANDS = [words for block in blocks(PAGE) if block.kind == "console" for words in commands(block.text)]
CONFIG = '[model]\npreset = "small"\n[optimisation]\nbatch = 8\nepochs = 1\n[run]\ndevice = "cpu"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = DOCS.parent / "examples" / "challenge_miniature.py"
    spec = importlib.util.spec_from_file_location("challenge_miniature", path)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    out = tmp_path_factory.mktemp("challenge")
    example.make(out)
    (out / "train.toml").write_text(CONFIG)
    return out


def test_the_page_goes_all_the_way() -> None:
    done = [words[1] for words in COMMANDS]
    road = ["check", "build", "scan", "select", "build", "verify", "report", "train", "predict", "evaluate"]
    assert [step for step in road if step in done or any(step in words for words in COMMANDS)] == road
    assert "examples/challenge_miniature.py" in PAGE.read_text()


@pytest.mark.usefixtures("one_cluster")
def test_each_command_in_turn(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    for words in COMMANDS:
        small = {"build": ["--size", "64"], "predict": ["--device", "cpu"]}.get(words[1], [])
        asked = ["2" if before == "--workers" else word for before, word in pairwise(words)]
        assert run(monkeypatch, *asked, *small) == 0, f"{' '.join(words)}\n{capsys.readouterr().err}"
        if words[1] == "build" and "--dry-run" not in words:
            held = open_store(folder / words[words.index("--out") + 1])
            splits = set(held.cases.column("split").to_pylist())
            assert splits == {"val" if "validation.parquet" in words else "train"}
    assert (folder / "runs" / "challenge" / "checkpoints" / "best.pt").is_file()
    scored = pq.read_table(folder / "scores.parquet").column("case").to_pylist()
    assert {re.sub(r"_case.*", "", case) for case in scored} == {
        "CT_Organs",
        "MR_Prostate",
        "Microscopy_Nuclei",
    }
