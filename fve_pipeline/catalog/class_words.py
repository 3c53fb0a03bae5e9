"""Words that classes are called by, of the shipped catalogs: what tells ``p01_liver`` from ``p01_reader2``."""

from __future__ import annotations

from functools import lru_cache

from fve_pipeline.catalog.kinds import split_words
from fve_pipeline.catalog.load import load_catalog, shipped_catalogs

__all__ = ["is_class"]

_SIDES = frozenset({"left", "right", "l", "r"})


def is_class(name: str) -> bool:
    """Whether a file's or folder's name is that of a class in a shipped catalog, sides and plurals aside."""
    return _phrase(name) in _known()


@lru_cache(maxsize=1)
def _known() -> frozenset[tuple[str, ...]]:
    catalogs = [load_catalog(name) for name in shipped_catalogs()]
    names = {
        name for catalog in catalogs for spec in catalog.classes for name in (spec.name, spec.file) if name
    }
    return frozenset(map(_phrase, names)) - {()}


def _phrase(name: str) -> tuple[str, ...]:
    return tuple(word.lower().removesuffix("s") for word in split_words(name) if word.lower() not in _SIDES)
