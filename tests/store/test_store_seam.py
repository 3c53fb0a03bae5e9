"""The names that readers of stores import."""

from __future__ import annotations

import ast
from pathlib import Path

from fve_pipeline import store


def test_the_seam_is_sorted_whole_and_documented() -> None:
    tree = ast.parse(Path(store.__file__).read_text(encoding="utf-8"))
    imported = [
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    ]
    assert sorted(imported) == sorted(store.__all__)
    assert all(getattr(store, name).__doc__ for name in store.__all__)
