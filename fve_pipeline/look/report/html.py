"""Pieces of HTML. Everything that comes from data is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

__all__ = ["bar", "details", "facts", "number", "paragraph", "section", "table"]


# Values that one would copy, and that no line may break.
_WHOLE = {"content id": ' class="whole"'}
_KIND = {True: ' class="n"', False: ""}


def number(value: float) -> str:
    """Short: 1,234; 0.123; 1.2e+06 never."""
    if value != value:  # NaN
        return "–"
    if abs(value) >= 100 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.3g}"


def section(key: str, title: str, *parts: str) -> str:
    """One section with a heading that can be linked to."""
    return (
        f'<section id="{key}" aria-labelledby="{key}-title">'
        f'<h2 id="{key}-title">{escape(title)}</h2>{"".join(parts)}</section>'
    )


def paragraph(text: str, kind: str = "") -> str:
    """Plain text."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A short list of names and values."""
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd{_WHOLE.get(name, '')}>{escape(value)}</dd></div>"
        for name, value in pairs
    )
    return f'<dl class="facts">{rows}</dl>'


def bar(share: float, label: str) -> str:
    """A bar of ``share`` (0..1) with its label beside it; meant for table cells, ``html=True`` columns."""
    width = max(0.0, min(1.0, share)) * 100
    return f'<span class="bar"><span style="width:{width:.1f}%"></span></span>{escape(label)}'


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    caption: str,
    raw: Sequence[int] = (),
    limit: int = 400,
) -> str:
    """A table that sorts by a click on a head and can be filtered when it is long.

    Numbers sort as numbers; a cell may be (shown, sort value). Columns in ``raw`` hold HTML already. Rows
    beyond ``limit`` are left out, and the caption says how many.
    """
    more = f" ({len(rows) - limit:,} more are left out)" if len(rows) > limit else ""
    numeric = [
        bool(rows) and all(isinstance(_key(row[i]), int | float) for row in rows) for i in range(len(heads))
    ]
    head = "".join(
        f'<th scope="col"{_KIND[n]}><button type="button">{escape(name)}</button></th>'
        for name, n in zip(heads, numeric, strict=True)
    )
    body = []
    for row in rows[:limit]:
        cells = []
        for place, cell in enumerate(row):
            shown, key = cell if isinstance(cell, tuple) else (cell, cell)
            text = number(shown) if isinstance(shown, int | float) else str(shown)
            content = text if place in raw else escape(text)
            cells.append(f'<td{_KIND[numeric[place]]} data-key="{escape(str(key))}">{content}</td>')
        body.append(f"<tr>{''.join(cells)}</tr>")
    search = (
        f'<label class="search">Filter <input type="search" aria-label="Filter: {escape(caption)}"></label>'
        if len(rows) > 12
        else ""
    )
    return (
        f'<div class="table">{search}<div class="scroll" tabindex="0"><table><caption>{escape(caption)}'
        f"{more}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div></div>"
    )


def _key(cell: Any) -> Any:
    return cell[1] if isinstance(cell, tuple) else cell


def details(summary: str, content: str, *, opened: bool = False) -> str:
    """Something that opens on demand. ``content`` is HTML."""
    return f"<details{' open' if opened else ''}><summary>{escape(summary)}</summary>{content}</details>"
