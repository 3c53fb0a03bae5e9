"""The documentation's pages, and the blocks in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
# Pages of which every `sh`, `python` and named `toml` block is run, in order, in one folder.
RUN = sorted([*DOCS.glob("tutorials/*.md"), *DOCS.glob("how-to/*.md"), *DOCS.glob("explanation/*.md")])
ALL = sorted([*DOCS.rglob("*.md"), DOCS.parent / "README.md"])

_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """``kind`` is what stands after the fence's opening."""

    kind: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page."""
    return [Block(kind.strip(), text) for kind, text in _FENCE.findall(page.read_text(encoding="utf-8"))]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each ``fve`` command in a block; continued lines are one."""
    for line in text.replace("\\\n", " ").splitlines():
        if found := re.match(r"\s*(?:torchrun .*)?(fve .*)", line):
            yield shlex.split(re.sub(r"\s#.*", "", found[1]))
