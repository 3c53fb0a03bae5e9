"""The site builds without a warning, and every command that it shows exists with those options."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pages
import pytest
import typer.main

from fve_pipeline.cli.main import app


def _resolve(words: list[str]) -> tuple[Any, list[str]]:
    """The click command that ``fve a b …`` names, and what follows."""
    command: Any = typer.main.get_command(app)
    rest = words[1:]
    while children := getattr(command, "commands", None):
        if rest and rest[0] in children:
            rest = rest[1:]
            command = children[words[len(words) - len(rest) - 1]]
        elif rest and "select" in children:  # fve coreset STORE is fve coreset select STORE
            command = children["select"]
        else:
            break
    return command, rest


def _shown() -> list[tuple[str, list[str]]]:
    found = []
    for page in pages.ALL:
        for block in pages.blocks(page):
            if block.kind in ("", "sh", "console"):
                name = page.relative_to(pages.DOCS.parent).as_posix()
                found += [(name, words) for words in pages.commands(block.text)]
    return found


def test_commands_are_found() -> None:
    assert len(_shown()) > 60


@pytest.mark.parametrize("page", sorted({page for page, _ in _shown()}))
def test_commands_and_options_exist(page: str) -> None:
    for name, words in _shown():
        if name != page:
            continue
        command, rest = _resolve(words)
        known = {
            option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        given = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert given <= known | {"--help"}, f"{page}: {' '.join(words)}"
        assert not (getattr(command, "commands", None) and rest), f"{page}: {' '.join(words)}"


def test_every_page_is_in_the_index() -> None:
    index = (pages.DOCS / "index.md").read_text().splitlines()
    folders = [line.removesuffix("/*") for line in index if line.endswith("/*")]
    for page in pages.DOCS.rglob("*.md"):
        name = page.relative_to(pages.DOCS).with_suffix("").as_posix()
        assert name == "index" or name in index or name.rpartition("/")[0] in folders, (
            f"{name} is in no toctree"
        )


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="the docs extra is not installed")
    pytest.importorskip("myst_parser", reason="the docs extra is not installed")
    pytest.importorskip("furo", reason="the docs extra is not installed")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "-q", "-b", "html"]
    command += ["-d", str(tmp_path / "doctrees"), str(pages.DOCS), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "reference" / "cli.html").read_text()
    for command_name in ("fve build", "fve coreset compare", "fve doctor", "fve figure allocation"):
        assert command_name in page
    api = (tmp_path / "site" / "reference" / "api.html").read_text()
    assert "fve_pipeline.store.open_store" in api
