"""Which case goes where when a store changes: dense again, with as few rows moved as will do. Pure; no disk.

A case that stays keeps its rows' places. Where others went, cases of exactly the missing length are put: new ones, or
cases from the store's end, and where no sum fits, neighbours of the gap make it wider until one does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

__all__ = ["Laid", "relay"]

# How many neighbours may make a gap wider, and how many cases of the end may be looked at, one attempt after another.
_ATTEMPTS = ((0, 0), (0, 2), (0, 4), (2, 4), (0, 8), (4, 8), (8, 16), (8, 32), (16, 64))


class Laid(NamedTuple):
    """A case and how many rows it has."""

    case: str
    rows: int


def relay(before: Sequence[Laid], after: Mapping[str, int]) -> list[Laid]:
    """Return the cases of ``after``, with their rows, in the order in which the changed store holds them.

    ``before`` are the cases of the store in order. One that is in ``after`` with as many rows stays in its place as
    long as a gap before it can be filled exactly; new ones come in the order of ``after``.
    """
    places: list[Laid | int] = [
        laid if after.get(laid.case) == laid.rows else laid.rows for laid in before
    ]  # a number is a gap of so many rows
    settled = {laid.case for laid in places if isinstance(laid, Laid)}
    fresh = [Laid(case, rows) for case, rows in after.items() if case not in settled]
    done: list[Laid] = []
    at = 0
    while at < len(places):
        here = places[at]
        if isinstance(here, Laid):
            done.append(here)
            at += 1
            continue
        end = at
        while end < len(places) and not isinstance(places[end], Laid):
            end += 1
        filled = _fill(places, at, end, fresh) if end < len(places) else None
        if filled is None:  # whatever follows moves up
            done += [laid for laid in places[end:] if isinstance(laid, Laid)]
            break
        used, at = filled
        done += used
    return done + fresh


def _fill(places: list[Laid | int], at: int, end: int, fresh: list[Laid]) -> tuple[list[Laid], int] | None:
    """Fill the gap ``at:end``; return the cases for it and where to go on, None when nothing fits.

    Cases taken from the store's end leave gaps in ``places``; those taken from ``fresh``, or that were neighbours and
    found no room, are in ``fresh`` no more, or now.
    """
    for wider, deep in _ATTEMPTS:
        stop = min(len(places), end + wider)
        tail = list(islice(_from_the_end(places, stop), deep))
        near = [one for one in places[at:stop] if isinstance(one, Laid)]
        room = sum(one.rows if isinstance(one, Laid) else one for one in places[at:stop])
        ends = [laid for place in tail if isinstance(laid := places[place], Laid)]
        chosen = _exactly(room, [*near, *fresh, *ends])
        if chosen is None:
            continue
        for place in tail:
            laid = places[place]
            if isinstance(laid, Laid) and laid in chosen:
                places[place] = laid.rows
        left = [laid for laid in near if laid not in chosen]
        fresh[:] = [*left, *(laid for laid in fresh if laid not in chosen)]
        return chosen, stop
    return None


def _from_the_end(places: Sequence[Laid | int], stop: int) -> Iterable[int]:
    """Places of cases from the end back to ``stop``."""
    return (place for place in range(len(places) - 1, stop - 1, -1) if isinstance(places[place], Laid))


def _exactly(room: int, cases: Sequence[Laid]) -> list[Laid] | None:
    """Return cases whose rows fill the room exactly, earlier ones rather than later ones, in order; None for none."""
    reached = [1]  # bit n: n rows can be had of the cases so far
    mask = (1 << room + 1) - 1
    for laid in cases:
        reached.append((reached[-1] | reached[-1] << laid.rows) & mask)
    if not reached[-1] >> room & 1:
        return None
    chosen: list[Laid] = []
    for number in range(len(cases), 0, -1):
        if not reached[number - 1] >> room & 1:
            chosen.append(cases[number - 1])
            room -= cases[number - 1].rows
    return chosen[::-1]
