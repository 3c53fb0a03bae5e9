"""What differs between two stores, from their tables alone: settings, classes, cases, voxels a class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from fve_pipeline.store.reader import Store

__all__ = ["StoreDiff", "diff_stores"]

# What a case is, apart from where its files lie and how they were read.
_COMPARED = (
    *("subject", "modality", "split", "source_sha256", "labels_sha256", "pixels_sha256", "shape", "spacing"),
    *("renditions", "views", "n_samples", "decision"),
)
_CLASS = ("name", "ids", "instance", "side", "prompts", "renditions")

Pair = tuple[Any, Any]


@dataclass(frozen=True)
class StoreDiff:
    """What two stores do not share; a pair is (of the first, of the second).

    ``content`` are the content ids, ``order`` tells whether the cases that both have come in another order. ``removed``
    and ``added`` are the cases of one alone; ``changed`` has, by case, what differs, ``voxels`` among it by class id.
    ``classes`` has the classes ("dataset/id") that differ, with None where one store has none; ``voxels`` the totals
    of the classes whose totals differ.
    """

    content: tuple[str, str]
    order: bool
    settings: dict[str, Pair]
    removed: list[str]
    added: list[str]
    changed: dict[str, dict[str, Pair]]
    classes: dict[str, dict[str, Pair] | Pair]
    voxels: dict[str, tuple[int, int]]

    @property
    def same(self) -> bool:
        """Whether nothing at all differs."""
        return self.content[0] == self.content[1] and not any(
            (self.order, self.settings, self.removed, self.added, self.changed, self.classes)
        )

    def as_json(self) -> dict[str, Any]:
        """Everything, and ``same``."""
        return {"same": self.same, **asdict(self)}


def diff_stores(first: Store, second: Store) -> StoreDiff:
    """Compare two stores by what they hold; no pixel is read, since the tables have the hashes of all of them.

    Raises
    ------
    StoreFormatError
        For a table that is missing or damaged.
    """
    one, other = _cases(first), _cases(second)
    common = [case for case in one if case in other]
    changed = {case: found for case in common if (found := _changes(one[case], other[case]))}
    totals = [_totals(store) for store in (first, second)]
    return StoreDiff(
        (first.manifest.content_id, second.manifest.content_id),
        common != [case for case in other if case in one],
        _differing(first.settings.model_dump(mode="json"), second.settings.model_dump(mode="json")),
        [case for case in one if case not in other],
        [case for case in other if case not in one],
        changed,
        _classes(first.classes, second.classes),
        {
            name: (totals[0][name], totals[1][name])
            for name in sorted({*totals[0], *totals[1]})
            if totals[0][name] != totals[1][name]
        },
    )


def _cases(store: Store) -> dict[str, dict[str, Any]]:
    columns = ["case", *_COMPARED, "class_ids", "class_voxels"]
    return {row.pop("case"): row for row in store.cases.select(columns).to_pylist()}


def _changes(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Pair]:
    if one == other:
        return {}
    found = _differing({key: one[key] for key in _COMPARED}, {key: other[key] for key in _COMPARED})
    before, after = (dict(zip(row["class_ids"], row["class_voxels"], strict=True)) for row in (one, other))
    for class_id in sorted({*before, *after}):
        pair = before.get(class_id, 0), after.get(class_id, 0)
        if pair[0] != pair[1]:
            found[f"voxels of class {class_id}"] = pair
    return found


def _totals(store: Store) -> Counter[str]:
    totals: Counter[str] = Counter()
    for row in store.cases.select(["dataset", "class_ids", "class_voxels"]).to_pylist():
        for class_id, voxels in zip(row["class_ids"], row["class_voxels"], strict=True):
            totals[f"{row['dataset']}/{class_id}"] += voxels
    return totals


def _classes(first: pa.Table, second: pa.Table) -> dict[str, dict[str, Pair] | Pair]:
    one, other = (
        {
            f"{row['dataset']}/{row['class_id']}": {key: row[key] for key in _CLASS}
            for row in table.to_pylist()
        }
        for table in (first, second)
    )
    found: dict[str, dict[str, Pair] | Pair] = {}
    for name in [*one, *(name for name in other if name not in one)]:
        if name not in one or name not in other:
            found[name] = (one.get(name), other.get(name))
        elif one[name] != other[name]:
            found[name] = _differing(one[name], other[name])
    return found


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Pair]:
    keys = [*one, *(key for key in other if key not in one)]
    return {key: (one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)}
