"""The reference of the command line, written from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from fve_pipeline.cli.main import app

__all__ = ["commands", "write"]


def commands() -> Iterator[tuple[str, Any]]:
    """Every command as (its full name, its click command), in the order of ``fve --help``."""
    yield from _below("fve", typer.main.get_command(app))


def write(path: Path) -> None:
    """Write the page, unless it is the same already."""
    parts = ["# Command line", "Written from the commands' own help; `fve COMMAND --help` says the same."]
    for name, command in commands():
        parts.append(_page(name, command))
    text = "\n\n".join(parts) + "\n"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if name != "fve":
        yield name, command
    for child in (children or {}).values():
        if not child.hidden:
            yield from _below(f"{name} {child.name}", child)


def _page(name: str, command: Any) -> str:
    said, _, examples = (command.help or "").partition("[bold]Examples[/bold]")
    parts = [f"## {name}", _plain(said)]
    if examples.strip():
        lines = [line.strip() for line in examples.strip().splitlines() if line.strip()]
        parts.append("\n".join(["```console", *lines, "```"]))
    rows = [row for parameter in command.params if (row := _row(parameter))]
    if rows:
        parts.append("\n".join(["| | | default |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def _row(parameter: Any) -> str | None:
    if parameter.name == "help" or getattr(parameter, "hidden", False):
        return None
    if parameter.param_type_name == "argument":
        names = f"`{parameter.metavar or parameter.name.upper()}`"
    else:
        names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    default = "required" if parameter.required else _default(parameter.default)
    return f"| {names} | {_cell(parameter.help or '')} | {default} |"


def _default(value: Any) -> str:
    if value is None or value is False or callable(value):
        return ""
    return f"`{value}`"


def _plain(text: str) -> str:
    """Rich markup and indentation as Markdown."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]
    return re.sub(r"\[/?bold\]", "**", "\n\n".join(paragraphs))


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|").replace("\n", " ")
