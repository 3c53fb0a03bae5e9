"""What a selection method is given, what it gives back, and the methods by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Protocol, TypeVar

import numpy as np

from fve_pipeline.coreset.table import CaseTable
from fve_pipeline.errors import CoresetError

__all__ = [
    "Choice",
    "Features",
    "Method",
    "SelectionProblem",
    "SelectionSettings",
    "get_method",
    "method_names",
    "register",
]

Rows = np.ndarray[Any, np.dtype[np.int64]]
Features = Callable[[Rows], np.ndarray[Any, np.dtype[np.float32]]]

ENTRY_POINTS = "fve_pipeline.coreset"


@dataclass(frozen=True, slots=True)
class SelectionSettings:
    """What the methods can be told.

    ``class_floor`` positive cases for every class of every dataset (for ``multicover``: its k),
    ``dataset_floor`` and ``modality_floor`` cases, where there are that many. Beyond the floors a dataset's
    share grows with its size to the power ``temper``: 1 is proportional, 0 gives all the same.
    """

    class_floor: int = 5
    dataset_floor: int = 5
    modality_floor: int = 10
    temper: float = 0.5


@dataclass(frozen=True, eq=False)
class SelectionProblem:
    """Choose ``budget`` of ``table``'s cases. Duplicates are already out, and ``budget <= len(table)``.

    ``features(rows)`` gives standardised descriptors, float32 (len(rows), d): distances between the rows
    given in one call mean something, distances across calls do not.
    """

    table: CaseTable
    budget: int
    seed: int
    settings: SelectionSettings
    features: Features
    keys: np.ndarray[Any, np.dtype[np.uint64]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", random_keys(self.table.ids, self.seed))

    def by_key(self, rows: Rows) -> Rows:
        """Return the rows in random order. The order of two cases does not depend on which others there are."""
        return rows[np.argsort(self.keys[rows], kind="stable")]


@dataclass(frozen=True, slots=True)
class Choice:
    """Rows in the order they were taken, why each was, and what the user must know: numbers, not phrases."""

    rows: list[int]
    reasons: list[str]
    notes: list[str] = field(default_factory=list)


class Method(Protocol):
    """A selection method. Equal problems give equal choices."""

    name: str
    summary: str

    def choose(self, problem: SelectionProblem) -> Choice:
        """Return the chosen rows, and why."""
        ...


M = TypeVar("M", bound=Method)
_METHODS: dict[str, Method] = {}


def random_keys(ids: tuple[str, ...], seed: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Return a uniform uint64 a case, from (seed, case id) alone: adding a dataset moves no other case's."""
    digests = (hashlib.blake2b(f"{seed}\0{case}".encode(), digest_size=8).digest() for case in ids)
    return np.fromiter((int.from_bytes(digest, "little") for digest in digests), np.uint64, len(ids))


def register(method: M) -> M:
    """Make a method known by its name.

    Other packages name theirs under the entry point group ``fve_pipeline.coreset`` instead: it must lead to a
    Method.
    """
    _METHODS[method.name] = method
    return method


def _known() -> dict[str, Method]:
    found = {point.name: point.load() for point in entry_points(group=ENTRY_POINTS)}
    return {**found, **_METHODS}


def method_names() -> list[str]:
    """All methods' names, ours first."""
    return list(_METHODS) + sorted(set(_known()) - set(_METHODS))


def get_method(name: str) -> Method:
    """Return the method of that name. Raises CoresetError naming those there are."""
    known = _known()
    if name not in known:
        msg = f"no coreset method {name!r}; there are {', '.join(method_names())}"
        raise CoresetError(msg)
    return known[name]
