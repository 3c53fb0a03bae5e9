"""Help that fills the terminal's width: docstrings are wrapped for an editor, and commands stand in groups."""

from __future__ import annotations

import inspect
import re

import typer

__all__ = ["one_line_paragraphs", "tidy"]


def one_line_paragraphs(text: str) -> str:
    r"""Return the text with each paragraph in one line; lines that are indented stay lines.

    >>> one_line_paragraphs("Draw a\nslice.\n\n  fve explain a\n  fve explain b")
    'Draw a slice.\n\n  fve explain a\n\n  fve explain b'
    """
    paragraphs = []
    for part in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        lines = part.split("\n")
        indented = all(line.startswith(" ") for line in lines)
        paragraphs.append("\n\n".join(lines) if indented else " ".join(line.strip() for line in lines))
    return "\n\n".join(paragraphs)


def tidy(app: typer.Typer) -> None:
    """Give every command of ``app``, and of the groups in it, its docstring in this form as help."""
    for command in app.registered_commands:
        command.help = one_line_paragraphs(command.help or getattr(command.callback, "__doc__", None) or "")
    for group in app.registered_groups:
        if group.typer_instance is not None:
            tidy(group.typer_instance)
