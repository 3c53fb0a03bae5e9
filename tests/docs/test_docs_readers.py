"""Every page says in its first line whom it is for."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_each_page_begins_with_its_reader() -> None:
    pages = [
        page for page in sorted(DOCS.rglob("*.md")) if "decisions" not in page.parts and page.name != "cli.md"
    ]
    wrong = {}
    for page in pages:
        title, *text = [line for line in page.read_text(encoding="utf-8").splitlines() if line.strip()]
        if not title.startswith("# ") or not text[0].startswith("For "):
            wrong[str(page.relative_to(DOCS))] = text[0][:60]
    assert len(pages) > 30
    assert wrong == {}
