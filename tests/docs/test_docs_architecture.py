"""What the architecture page names is there, and what is there is on its map."""

from __future__ import annotations

import re
from pathlib import Path

import pages

ROOT = Path(__file__).resolve().parents[2]
PAGE = (pages.DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8")


def test_every_name_on_the_page_exists() -> None:
    named = set(re.findall(r"`((?:fve_pipeline|tests)/[\w/.]+)`", PAGE))
    assert len(named) > 40
    assert not sorted(name for name in named if not (ROOT / name).exists())


def test_every_room_is_on_the_map() -> None:
    drawing = PAGE.split("```")[1]
    rooms = {path.parent.name for path in (ROOT / "fve_pipeline").glob("*/__init__.py")} - {"evaluation"}
    assert not {room for room in rooms if not re.search(rf"\b{room}\b", drawing)}
