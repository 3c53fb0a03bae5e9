"""What was probably meant by a word that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

__all__ = ["beside", "near", "near_case"]


def near(word: str, known: Iterable[str], count: int = 1) -> str:
    """Return ``"Did you mean …? "`` for up to ``count`` names that look like ``word``, else nothing.

    >>> near("image", ["images", "labels"])
    'Did you mean images? '
    >>> near("zebra", ["images", "labels"])
    ''
    """
    return _asked(difflib.get_close_matches(word, list(known), n=count))


def beside(path: str | Path) -> str:
    """Return the same for a path that is not there, from the names in its folder (1,000 of them at most)."""
    given = Path(path)
    try:
        names = [entry.name for entry, _ in zip(given.parent.iterdir(), range(1000), strict=False)]
    except OSError:
        return ""
    found = [name for name in names if name.startswith(f"{given.name}.")]  # an ending that was left out
    found += [name for name in difflib.get_close_matches(given.name, names, n=1) if name not in found]
    return _asked([str(given.parent / name) for name in sorted(found)[:2]])


def near_case(word: str, cases: Iterable[str]) -> str:
    """Return the same for a case's id, DATASET/NAME, of which the name alone may have been given.

    >>> near_case("ct_01", ["demo_ct/ct_01", "demo_ct/ct_02"])
    'Did you mean demo_ct/ct_01? '
    """
    known = list(cases)
    named = [case for case in known if case.partition("/")[2] == word]
    if named:
        return _asked(named[:3])
    close = difflib.get_close_matches(word, [case.partition("/")[2] for case in known], n=1)
    return _asked([case for case in known if case.partition("/")[2] in close][:1]) or near(word, known)


def _asked(names: list[str]) -> str:
    return f"Did you mean {' or '.join(names)}? " if names else ""
