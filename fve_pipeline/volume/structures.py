"""Which structures of an RTSTRUCT, or segments of a DICOM SEG, are which class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fve_pipeline.volume.refusal import refusal

__all__ = ["Structure", "assign", "same_name"]

_BLANKS = re.compile(r"[\s_\-]+")


@dataclass(frozen=True, slots=True)
class Structure:
    """A class by what it is called in a file: any of ``names``, or what the regular expression ``pattern`` matches whole.

    Case, blanks, ``_`` and ``-`` make no difference between names; in the pattern they do. ``optional``: a case may
    lack it.
    """

    id: int
    names: tuple[str, ...]
    pattern: str | None = None
    optional: bool = False


def same_name(name: str) -> str:
    """Return the form in which names are compared: ``Lung_L`` and ``lung l`` are one."""
    return _BLANKS.sub(" ", name).strip().casefold()


def assign(
    wanted: Sequence[Structure], found: Sequence[Sequence[str]], name: str, what: str
) -> tuple[list[tuple[int, list[int]]], list[str]]:
    """Return (class id, places in ``found``) of each class that is there, and notes on those that are not.

    ``found`` holds what each structure is called, one or several names. Several structures of one class are one.
    Names of the file are not in messages: people write patients into them.

    Raises ReadError for a class that the file has not, unless it is optional.
    """
    places, absent = [], []
    for one in wanted:
        names = {same_name(text) for text in one.names}
        expression = None if one.pattern is None else re.compile(one.pattern)
        own = [
            place
            for place, called in enumerate(found)
            if any(
                same_name(text) in names or (expression is not None and expression.fullmatch(text.strip()))
                for text in called
            )
        ]
        if own:
            places.append((one.id, own))
        elif one.optional:
            absent.append(f"no {what} for {_said(one)}, which the case may lack")
        else:
            raise refusal(
                name,
                f"no {what} is called {_said(one)}; there are {len(found)}",
                "one for each class of the catalog",
                "See what they are called with fve catalogs structures, and name them in the class's structures; or set "
                "sparse where cases may lack some",
            )
    return places, absent


def _said(one: Structure) -> str:
    names = " or ".join(map(repr, one.names))
    return names if one.pattern is None else " or ".join(filter(None, (names, f"like {one.pattern!r}")))
