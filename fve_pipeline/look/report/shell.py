"""A page: sections, pictures, style and script in one file that asks the network for nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from fve_pipeline import __version__
from fve_pipeline.look.report import html

__all__ = ["assemble"]


def assemble(
    title: str, sections: Mapping[str, tuple[str, str]], shown: Sequence[Mapping[str, Any]] | None = None
) -> str:
    """Return the page of ``sections``, by key: (name in the navigation, HTML).

    ``shown`` are the runs of slices that the viewer among them shows; None where there is no viewer.
    """
    style, tables, viewer = (_part(name) for name in ("page.css", "tables.js", "viewer.js"))
    scripts = f"<script>{tables}</script>"
    if shown is not None:
        # "<" is the one character that could end the script element early.
        data = json.dumps(shown, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
        scripts = (
            f'<script type="application/json" id="runs">{data}</script><script>{viewer}</script>{scripts}'
        )
    links = "".join(f'<a href="#{key}">{escape(name)}</a>' for key, (name, _) in sections.items())
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>"
        f'<a class="skip" href="#main">Skip to the content</a><header><h1>{escape(title)}</h1>'
        f'<nav aria-label="Sections">{links}</nav></header><main id="main">'
        f"{''.join(content for _, content in sections.values())}</main>"
        f"<footer>{html.paragraph(f'Made by fve_pipeline {__version__}.')}</footer>{scripts}</body></html>\n"
    )


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
