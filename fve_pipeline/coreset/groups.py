"""Cases that are not independent: the same pixels twice, and one subject several times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fve_pipeline.coreset.table import CaseTable

__all__ = ["Siblings", "duplicate_groups", "keep_one", "siblings", "subject_groups"]


@dataclass(frozen=True)
class Siblings:
    """How many subjects have several cases, and in how many datasets and modalities those lie."""

    subjects: int
    cases: int
    across_datasets: int
    across_modalities: int

    def __str__(self) -> str:
        return (
            f"{self.subjects} subjects have {self.cases} cases between them "
            f"({self.across_datasets} in several datasets, {self.across_modalities} in several modalities)"
        )


def duplicate_groups(table: CaseTable) -> list[list[int]]:
    """Rows that show the same image, two or more a group, in table order."""
    rows: dict[str, list[int]] = {}
    for row, digest in enumerate(table.images):
        if digest:
            rows.setdefault(digest, []).append(row)
    return [group for group in rows.values() if len(group) > 1]


def subject_groups(table: CaseTable) -> list[list[int]]:
    """Rows of one subject, two or more a group, in table order. An empty subject is nobody's."""
    rows: dict[int, list[int]] = {}
    for row, code in enumerate(table.subject.codes.tolist()):
        if table.subject.names[code]:
            rows.setdefault(code, []).append(row)
    return [group for group in rows.values() if len(group) > 1]


def siblings(table: CaseTable) -> Siblings:
    """Return counts of what ``subject_groups`` finds."""
    groups = subject_groups(table)
    return Siblings(
        subjects=len(groups),
        cases=sum(len(group) for group in groups),
        across_datasets=sum(len({table.dataset.codes[row] for row in group}) > 1 for group in groups),
        across_modalities=sum(len({table.modality.codes[row] for row in group}) > 1 for group in groups),
    )


def keep_one(table: CaseTable, groups: list[list[int]]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows stay when each group keeps one member, bool (n,).

    Two copies of one image may carry the labels of two catalogs, so it matters which stays: the one whose
    rarest class has the fewest positive cases among what is kept so far, then the one with more classes, then
    the first. So no catalog loses all of its cases to another that shares its images.
    """
    keep: np.ndarray[Any, np.dtype[np.bool_]] = np.ones(len(table), bool)
    for group in groups:
        keep[group] = False
    counts = np.bincount(
        np.concatenate(
            [table.classes_of(row) for row in np.flatnonzero(keep).tolist()] or [np.empty(0, np.int64)]
        ),
        minlength=len(table.classes),
    )
    nothing = len(table) + 1

    def rank(row: int) -> tuple[int, int, int]:
        classes = table.classes_of(row)
        return (int(counts[classes].min()) if len(classes) else nothing, -len(classes), row)

    for group in groups:
        best = min(group, key=rank)
        keep[best] = True
        counts[table.classes_of(best)] += 1
    return keep
