"""Terms of anatomy and pathology with other wordings, offline; some wordings can be held out to test a model with."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["is_held_out", "lexicon", "lexicon_sources", "wordings"]

_TENS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_ORDINALS = (*_TENS, "eleventh", "twelfth")
_SECTIONS = {"C": "cervical", "T": "thoracic", "L": "lumbar", "S": "sacral"}


@cache
def _content() -> Mapping[str, Any]:
    text = (resources.files("fve_catalogs") / "lexicon.json").read_text(encoding="utf-8")
    found: Mapping[str, Any] = json.loads(text)
    return found


def lexicon_sources() -> tuple[str, ...]:
    """Return what the terms were taken from."""
    return tuple(_content()["sources"])


@cache
def lexicon() -> Mapping[str, tuple[str, ...]]:
    """Return the wordings of each term, the term itself first; terms are in lower case but for symbols.

    They are plain terms, those of both sides, rows of numbered ones (vertebrae, teeth, nodal stations), and each kind
    of lesion in each organ.
    """
    found: dict[str, tuple[str, ...]] = {}
    for term, *others in _terms():
        found[term] = tuple(dict.fromkeys((term, *found.get(term, ()), *others)))
    return found


def _terms() -> Iterator[list[str]]:
    content = _content()
    for entry in (*content["plain"], *content["lung"], *content["findings"]):
        yield entry.split("/")
    for entry in content["sided"]:
        term, *others = entry.split("/")
        for side in ("left", "right"):
            yield [f"{side} {term}", *(f"{side} {other}" for other in others), f"{term} of the {side} side"]
    for entry, names in content["rows"].items():
        term, *others = entry.split("/")
        for name in names:
            said = [f"{other} {name}" for other in others]
            if term == "vertebra":
                said.append(f"{_ORDINALS[int(name[1:]) - 1]} {_SECTIONS[name[0]]} vertebra")
                yield [f"vertebra {name}", f"{name} vertebra", *said]
            else:
                yield [f"{term} {name}", *said]
    for term, count in content["ordinal"].items():
        for number in range(1, count + 1):
            for side in ("left", "right"):
                yield [f"{side} {term} {number}", f"{_ORDINALS[number - 1]} {term} on the {side}"]
    for entry in content["pathology"]:
        lesion, *others = entry.split("/")
        for where in content["places"]:
            organ, adjective = where.split("/")
            said = [f"{other} of the {organ}" for other in others]
            yield [f"{lesion} of the {organ}", f"{adjective} {lesion}", *said]


def is_held_out(wording: str) -> bool:
    """Return whether a wording is one of the fifth or so that training leaves to a test of robustness."""
    return zlib.crc32(_plain(wording).encode()) % 5 == 0


def wordings(name: str, *, held_out: bool | None = False) -> tuple[str, ...]:
    """Return what else a class or finding may be called, itself first; itself alone where the lexicon lacks it.

    ``held_out`` False leaves out the wordings that are kept for a test, True gives only those, None all. The term
    itself is never held out.

    >>> wordings("left_kidney", held_out=None)
    ('left kidney', 'left renal organ', 'kidney of the left side')
    """
    plain = _plain(name)
    term = next((term for term in _names(plain) if term in _by_plain()), None)
    said = (plain,) if term is None else lexicon()[_by_plain()[term]]
    if held_out is None:
        return said
    return tuple(one for place, one in enumerate(said) if (place > 0 and is_held_out(one)) == held_out)


@cache
def _by_plain() -> Mapping[str, str]:
    """Terms by each of their wordings; a term's own name comes before what another term is also called."""
    names = {_plain(other): term for term, said in lexicon().items() for other in said}
    return names | {_plain(term): term for term in lexicon()}


def _names(plain: str) -> Iterator[str]:
    yield plain
    words = plain.split(" ")
    if words[-1] in ("left", "right"):  # kidney_left
        yield " ".join([words[-1], *words[:-1]])
    if words[0] == "vertebrae":
        yield " ".join(["vertebra", *words[1:]])
    if plain.endswith("s"):
        yield plain[:-1]


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[_\s]+", " ", text).lower().split())
