"""Which cases of stores and scans show one scan: fingerprints made or read, compared, and told as groups."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fve_pipeline.build.fingerprints import Shelf, axial_runs, shelve_store
from fve_pipeline.build.scan import SCAN, read_scan
from fve_pipeline.duplicates import Likeness, find_duplicates, groups_of
from fve_pipeline.errors import BuildError
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.reader import Store, open_store

__all__ = ["DuplicateGroup", "ListedCase", "SamePair", "duplicates_in", "open_compared"]


@dataclass(frozen=True, slots=True)
class ListedCase:
    """A case of a store or a scan, ``where``."""

    where: str
    case: str
    dataset: str
    subject: str
    split: str


@dataclass(frozen=True, slots=True)
class SamePair:
    """Two cases, by their places in the group, and how they lie upon each other."""

    first: int
    second: int
    likeness: Likeness


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Cases that show one scan, in order, and the pairs that say so."""

    cases: tuple[ListedCase, ...]
    pairs: tuple[SamePair, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the scan is in."""
        return tuple(dict.fromkeys(case.split for case in self.cases))

    def as_json(self) -> dict[str, Any]:
        """Return the group as a script reads it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ComparedCases:
    """A store, or a scan's fingerprints, ``where``, and its cases' rows by id."""

    where: str
    rows: dict[str, Any]
    held: Store | Shelf


def open_compared(locations: Sequence[str]) -> list[ComparedCases]:
    """Open stores, whose slices are read, and folders of `fve scan --hash`, which hold fingerprints.

    Raises BuildError for a scan without fingerprints, StoreError where there is no store.
    """
    return [_opened(location) for location in locations]


def duplicates_in(
    compared: Sequence[ComparedCases], resources: Resources
) -> tuple[list[DuplicateGroup], int, list[str]]:
    """Return (groups of cases that show one scan, cases compared, cases that cannot be compared).

    Cases that were never sliced axially cannot be.
    """
    known: list[ListedCase] = []
    shelves: list[tuple[Shelf, int]] = []
    left: list[str] = []
    with ExitStack() as stack:
        for one in compared:
            shelf = one.held
            if isinstance(shelf, Store):
                made = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fve-duplicates-")))
                shelf = shelve_store(shelf, axial_runs(shelf), made, resources)
            shelves += [(shelf, number) for number in range(len(shelf))]
            known += [ListedCase(one.where, **one.rows[case]) for case in shelf.cases]
            left += sorted(one.rows.keys() - set(shelf.cases))
        resources.progress.stage("comparing", len(known), "cases")

        def load(number: int) -> Any:
            shelf, place = shelves[number]
            return shelf[place]

        found = find_duplicates(len(known), load, resources.progress.advance)
    groups = []
    for members in groups_of(len(known), ((one.first, one.second) for one in found)):
        place = {number: i for i, number in enumerate(members)}
        pairs = [
            SamePair(place[one.first], place[one.second], one.likeness) for one in found if one.first in place
        ]
        groups.append(DuplicateGroup(tuple(known[number] for number in members), tuple(pairs)))
    return groups, len(known), left


def _opened(location: str) -> ComparedCases:
    folder = Path(location)
    if (folder / SCAN).is_file():
        if not Shelf.found(folder):
            msg = f"{location} has no fingerprints: scan again with --hash"
            raise BuildError(msg)
        return ComparedCases(location, _rows(read_scan(folder)[0]), Shelf(folder))
    store = open_store(location)
    return ComparedCases(location, _rows(store.cases), store)


def _rows(cases: Any) -> dict[str, Any]:
    columns = ["case", "dataset", "subject", "split"]
    return {row["case"]: row for row in cases.select(columns).to_pylist()}
