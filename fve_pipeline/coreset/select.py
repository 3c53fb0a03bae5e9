"""From the tables of one or several stores to a selection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from fve_pipeline.coreset.arrow import strings
from fve_pipeline.coreset.descriptors import DESCRIPTORS_VERSION, Block, describe_by_class, standardise
from fve_pipeline.coreset.groups import duplicate_groups, keep_one, siblings, subject_groups
from fve_pipeline.coreset.method import Choice, Rows, SelectionProblem, SelectionSettings, get_method
from fve_pipeline.coreset.selection import ChosenFrom, Selection
from fve_pipeline.coreset.table import CaseTable
from fve_pipeline.errors import CoresetError

__all__ = ["Pool", "Tables", "budget_of", "select"]


@dataclass(frozen=True, eq=False)
class Tables:
    """The tables of a store or a scan, and its content id."""

    cases: pa.Table
    classes: pa.Table
    content_id: str


@dataclass(frozen=True, eq=False)
class Pool:
    """What can be chosen: the eligible cases, with one case left of every group of duplicates.

    ``eligible`` is counted before duplicates go: a fraction is a fraction of what there is.
    """

    table: CaseTable
    eligible: int
    duplicates: int
    siblings: str
    sources: tuple[ChosenFrom, ...]
    splits: tuple[str, ...]
    one_per_subject: bool
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, stores: Sequence[Tables], *, splits: tuple[str, ...] = ("train",), one_per_subject: bool = False
    ) -> Pool:
        """Raise CoresetError when no case is in ``splits``. Cases without a split are always eligible."""
        cases = pa.concat_tables([store.cases for store in stores], promote_options="permissive")
        classes = pa.concat_tables([store.classes for store in stores], promote_options="permissive")
        whole = CaseTable.of(cases, classes)
        rows = [row for row, split in enumerate(whole.split) if not split or split in splits]
        if not rows:
            found = ", ".join(f"{n} in {name!r}" for name, n in sorted(Counter(whole.split).items()))
            msg = (
                f"none of {len(whole)} cases is in the splits {', '.join(splits)} ({found or 'no case'}); "
                "name others with --split"
            )
            raise CoresetError(msg)
        eligible = whole.take(rows)
        notes = _empty_classes(eligible)
        copies = duplicate_groups(eligible)
        table = eligible.take(np.flatnonzero(keep_one(eligible, copies)))
        duplicates = len(eligible) - len(table)
        if duplicates:
            notes.append(f"{duplicates} duplicates (equal pixels, {len(copies)} images) are set aside")
        related = siblings(table)
        if related.subjects:
            notes.append(str(related))
        if one_per_subject:
            before = len(table)
            table = table.take(np.flatnonzero(keep_one(table, subject_groups(table))))
            notes.append(f"one case a subject: {before - len(table)} siblings are set aside")
        sources = tuple(ChosenFrom(store.content_id, store.cases.num_rows) for store in stores)
        return cls(table, len(eligible), duplicates, str(related), sources, splits, one_per_subject, notes)


def _empty_classes(table: CaseTable) -> list[str]:
    empty = np.flatnonzero(table.positives() == 0).tolist()
    if not empty:
        return []
    names = ", ".join(str(table.classes[number]) for number in empty[:3])
    more = ", ..." if len(empty) > 3 else ""
    return [
        f"{len(empty)} of {len(table.classes)} declared classes have no case to choose from: {names}{more}"
    ]


def budget_of(eligible: int, *, cases: int | None, fraction: float | None) -> int:
    """How many cases to take: ``cases``, or the whole part of ``fraction`` of the eligible ones.

    Raises CoresetError for both or neither, for less than one case, and for more cases than there are.
    """
    if (cases is None) == (fraction is None):
        msg = "say how many: --fraction 0.1 or --cases N, one of the two"
        raise CoresetError(msg)
    if fraction is not None:
        if not 0 < fraction <= 1:
            msg = f"fraction {fraction} is not between 0 and 1"
            raise CoresetError(msg)
        cases = int(fraction * eligible + 1e-9)
        if cases == 0:
            msg = f"{fraction:.4g} of {eligible} cases is less than one; ask for {1 / eligible:.2g} or more"
            raise CoresetError(msg)
    assert cases is not None
    if not 1 <= cases <= eligible:
        msg = f"{cases} cases were asked for, there are {eligible} to choose from"
        raise CoresetError(msg)
    return cases


def select(
    pool: Pool,
    *,
    method: str = "stratified",
    cases: int | None = None,
    fraction: float | None = None,
    seed: int = 0,
    settings: SelectionSettings | None = None,
    features: np.ndarray[Any, np.dtype[np.float32]] | None = None,
    features_name: str = "",
) -> Selection:
    """Choose cases.

    ``features`` (len(pool.table), d) are one more block of descriptors, such as a model's; ``features_name`` is
    what the selection records of them.

    Everything the user must know about what could not be had is in the selection's ``notes``, with numbers.
    """
    settings = settings or SelectionSettings()
    table = pool.table
    budget = budget_of(pool.eligible, cases=cases, fraction=fraction)
    notes = list(pool.notes)
    if budget > len(table):
        notes.append(f"{budget} cases were asked for, {len(table)} are left to choose from: all are taken")
    problem = SelectionProblem(table, min(budget, len(table)), seed, settings, _features(table, features))
    choice = get_method(method).choose(problem)
    _check(choice, problem, method)
    return Selection(
        table=_as_table(table, choice),
        method=method,
        seed=seed,
        settings=settings,
        fraction=fraction,
        budget=budget,
        splits=pool.splits,
        one_per_subject=pool.one_per_subject,
        eligible=pool.eligible,
        duplicates=pool.duplicates,
        siblings=pool.siblings,
        descriptors_version=DESCRIPTORS_VERSION,
        features=features_name,
        sources=pool.sources,
        notes=(*notes, *choice.notes),
    )


def _features(table: CaseTable, given: np.ndarray[Any, np.dtype[np.float32]] | None) -> Any:
    def compute(rows: Rows) -> np.ndarray[Any, np.dtype[np.float32]]:
        blocks = describe_by_class(table.take(rows))
        if given is not None:
            names = tuple(f"feature_{i}" for i in range(given.shape[1]))
            blocks.append(Block("features", names, given[rows].astype(np.float64)))
        return standardise(blocks)

    return compute


def _check(choice: Choice, problem: SelectionProblem, method: str) -> None:
    """Refuse what a plugin chose wrongly, before it becomes a wrong file."""
    if len(choice.rows) != problem.budget or len(set(choice.rows)) != len(choice.rows):
        msg = (
            f"method {method!r} returned {len(choice.rows)} cases, {len(set(choice.rows))} of them "
            f"different; {problem.budget} different ones were asked for"
        )
        raise CoresetError(msg)


def _as_table(table: CaseTable, choice: Choice) -> pa.Table:
    chosen = table.take(choice.rows)
    columns = {
        "case": list(chosen.ids),
        "dataset": [chosen.dataset[row] for row in range(len(chosen))],
        "modality": [chosen.modality[row] for row in range(len(chosen))],
        "subject": [chosen.subject[row] for row in range(len(chosen))],
        "source": strings(chosen.facts, "source"),
        "reason": choice.reasons,
    }
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
