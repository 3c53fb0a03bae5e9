"""Overlapping labels of one case -> a map in which each combination of classes has a value of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fve_kernels.cpu_statistics import label_counts
from fve_pipeline.build.prepare.job import OverlapRule
from fve_pipeline.volume import Labels

__all__ = ["CombinedLabels", "combine", "with_combinations"]

Classes = tuple[tuple[int, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class CombinedLabels:
    """``array`` (z,y,x) uint16 holds label ids, from ``OverlapRule.first`` on ``combinations``, each of class ids."""

    array: NDArray[np.uint16]
    combinations: tuple[tuple[int, ...], ...]
    notes: tuple[str, ...]


def with_combinations(classes: Classes, first: int, combinations: Iterable[tuple[int, ...]]) -> Classes:
    """Return the classes with the values of the combinations that hold them."""
    values = list(enumerate(combinations, first))
    return tuple(
        (class_id, (*ids, *(value for value, members in values if class_id in members)))
        for class_id, ids in classes
    )


def combine(labels: Labels, overlaps: OverlapRule, classes: Classes) -> CombinedLabels:
    """Number the sets of labels that occur by the classes that they are, in an order that they alone decide.

    Labels from ``OverlapRule.first`` on are findings': they have no value of their own and yield to none.
    ``classes`` are (class id, its label ids). A set whose classes are those of one label is that label. Ids of no class
    are forgotten where they meet others, or where they have a value that combinations take.
    """
    counts = label_counts(labels.array)
    own = _classes_of_labels(classes)
    chosen: dict[int, tuple[int, ...]] = {}
    plain: dict[int, int] = {}
    several = yielded = forgotten = 0
    for value in (int(value) for value in np.flatnonzero(counts) if value):
        ids = labels.sets.get(value)
        if ids is None and value >= overlaps.first and value in own:
            ids = (value,)
        if ids is None:
            if value >= overlaps.first:
                plain[value] = 0
                forgotten += int(counts[value])
            continue
        kept = _kept(ids, own, overlaps)
        members = tuple(sorted(set().union(*(own.get(label, ()) for label in kept))))
        like = (label for label in (kept if len(kept) == 1 else sorted(own)) if label < overlaps.first)
        label = next((label for label in like if own[label] == members), None)
        if not members:
            plain[value] = min(ids)
        elif label is not None:
            plain[value] = label
        else:
            chosen[value] = members
        several += int(counts[value]) * (len(kept) > 1)
        yielded += int(counts[value]) * (len(kept) < sum(label in own for label in ids))
    combinations = tuple(sorted(set(chosen.values())))
    number = {members: value for value, members in enumerate(combinations, overlaps.first)}
    notes = []
    if several:
        notes.append(f"{several:,} voxels belong to several labels; each keeps them")
    if yielded:
        notes.append(f"{yielded:,} voxels of overlapping labels stay with those of the higher priority")
    if forgotten:
        notes.append(
            f"{forgotten:,} voxels of ids from {overlaps.first} on, which no class has, are background: combinations "
            "of classes take these values"
        )
    array = labels.array
    if chosen or plain:
        table = np.arange(1 << 16, dtype=np.uint16)
        for value, label in plain.items():
            table[value] = label
        for value, members in chosen.items():
            table[value] = number[members]
        array = table[array]
    return CombinedLabels(array, combinations, tuple(notes))


def _classes_of_labels(classes: Classes) -> dict[int, tuple[int, ...]]:
    found: dict[int, list[int]] = {}
    for class_id, ids in classes:
        for label in ids:
            found.setdefault(label, []).append(class_id)
    return {label: tuple(sorted(of)) for label, of in found.items()}


def _kept(ids: tuple[int, ...], own: Mapping[int, tuple[int, ...]], overlaps: OverlapRule) -> list[int]:
    """The labels of a voxel that have a class and yield to none of the others."""
    priority = dict(overlaps.priority)
    known = [label for label in ids if label in own]
    highest = max((priority.get(label, 0) for label in known if label < overlaps.first), default=0)
    return [label for label in known if priority.get(label, 0) == highest or label >= overlaps.first]
