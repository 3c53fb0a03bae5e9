"""Label ids that occur in the data, have no class and are no mistake: numbers, ranges, or all the rest."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

__all__ = ["REST", "Ignored", "ids_of", "takes_rest"]

REST = "rest"

_RANGE = re.compile(r"(\d+)-(\d+)")
_MOST = 65535


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _checked(value: tuple[int | str, ...]) -> tuple[int | str, ...]:
    for one in value:
        low, high = _ends(one)
        if not 1 <= low <= high <= _MOST:
            msg = f"{one!r} is no label id from 1 to {_MOST}, no range such as '20-35' and not 'rest'"
            raise ValueError(msg)
    return value


def _ends(one: int | str) -> tuple[int, int]:
    """The first and the last id that an entry stands for; (0, 0) for what is none."""
    if isinstance(one, int):
        return one, one
    if one == REST:
        return 1, _MOST
    match = _RANGE.fullmatch(one)
    return (int(match[1]), int(match[2])) if match else (0, 0)


#: ``[6, "20-35"]``, or ``"rest"`` for every id without a class.
Ignored = Annotated[tuple[int | str, ...], BeforeValidator(_listed), AfterValidator(_checked)]


def takes_rest(ignored: Iterable[int | str]) -> bool:
    """Whether every id that no class has is ignored."""
    return REST in ignored


def ids_of(ignored: Iterable[int | str]) -> frozenset[int]:
    """Return the ids that numbers and ranges name; ``rest`` names none.

    >>> sorted(ids_of([6, "20-22"]))
    [6, 20, 21, 22]
    """
    ends = (_ends(one) for one in ignored if one != REST)
    return frozenset(label for low, high in ends for label in range(low, high + 1))
