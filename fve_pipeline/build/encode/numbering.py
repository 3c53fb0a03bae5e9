"""The values of overlapping classes in a store: each combination that occurs has one, numbered as the plan meets it.

Pure: the datasets, what the store already numbers, and the cases in their order decide everything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fve_pipeline.build.prepare.facts import CaseFacts
from fve_pipeline.build.prepare.roster import RosterDataset, class_table_of
from fve_pipeline.errors import BuildError
from fve_pipeline.store.class_table import ClassEntry, ClassTable

__all__ = ["Numbering", "merge_numberings", "number_combinations"]

Members = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Numbering:
    """``table`` holds the classes of the datasets that were numbered, with all of their values.

    ``values`` are those of combinations, by dataset and what they stand for: class ids, and ``-1 - n`` for the finding
    ``n`` of the case that they are in.
    """

    table: ClassTable
    values: Mapping[tuple[str, Members], int]

    def of_case(self, facts: CaseFacts, rendition: str) -> tuple[tuple[int, int], ...]:
        """Return (value in the prepared labels, value in the store) of a case's combinations."""
        shown = _Shown(self.table, facts.dataset, rendition)
        found = []
        for value, members in enumerate(facts.combinations, facts.first_combination):
            seen = shown.of(members)
            label = shown.label(seen)
            found.append((value, self.values[facts.dataset, seen] if label is None else label))
        return tuple(found)

    def of_findings(self, findings: pa.Table) -> Numbering:
        """Return it without the values of findings of which none is left in ``findings``.

        They stand in no row any more, and would be read as combinations of the classes alone the next time.
        """
        rows = findings.select(["dataset", "mask_ids"]).to_pylist()
        left = {(row["dataset"], value) for row in rows for value in row["mask_ids"]}
        values = {
            (dataset, members): value
            for (dataset, members), value in self.values.items()
            if min(members, default=0) >= 0 or (dataset, value) in left
        }
        return Numbering(ClassTable(tuple(_with_values(entry, values) for entry in self.table)), values)

    def findings(self, facts: CaseFacts) -> list[dict[str, Any]]:
        """Return the rows of ``findings.parquet`` of one case."""
        held = [(members, facts.first_combination + i) for i, members in enumerate(facts.combinations)]
        stored = {name: dict(self.of_case(facts, name)) for name in facts.renditions}
        rows = []
        for number, one in enumerate(facts.findings):
            mine = {
                own[value] for own in stored.values() for members, value in held if -1 - number in members
            }
            rows.append(
                {
                    "case": facts.case,
                    "dataset": facts.dataset,
                    "finding": number,
                    "texts": list(one.texts),
                    "mask_ids": [*one.ids, *sorted(mine - set(one.ids))],
                    "voxels": one.voxels,
                    "source": one.source,
                }
            )
        return rows


def number_combinations(
    datasets: Iterable[RosterDataset],
    cases: Iterable[CaseFacts],
    mask_dtype: str,
    findings: pa.Table | None = None,
    *,
    known_only: bool = False,
) -> Numbering:
    """Number the combinations of the cases, in their order, after those that the datasets' classes, and the findings
    of a store that grows, name already.

    Raises BuildError when the values do not fit the masks' dtype or, with ``known_only``, when one has none yet.
    """
    held = {dataset.name: dataset for dataset in datasets}
    table = class_table_of(held.values())
    values = _known(table, held, findings)
    following = {
        name: max(
            dataset.first_combination,
            *(max(c.ids, default=0) + 1 for c in dataset.classes),
            *(value + 1 for (own, _), value in values.items() if own == name),
            1,
        )
        for name, dataset in held.items()
    }
    limit = 255 if mask_dtype == "uint8" else 65535
    for facts in cases:
        if not facts.combinations:
            continue
        for rendition in facts.renditions:
            shown = _Shown(table, facts.dataset, rendition)
            for members in map(shown.of, facts.combinations):
                if shown.label(members) is not None or (facts.dataset, members) in values:
                    continue
                value = following[facts.dataset]
                if known_only or value > limit:
                    raise BuildError(_no_value(facts, members, table, known_only, mask_dtype))
                values[facts.dataset, members] = value
                following[facts.dataset] += 1
    return Numbering(ClassTable(tuple(_with_values(entry, values) for entry in table)), values)


def merge_numberings(
    stores: Sequence[tuple[str, ClassTable, pa.Table]], datasets: Collection[str]
) -> Numbering:
    """Return the classes of ``datasets`` and the values of their combinations, as all of the stores have them.

    ``stores`` are (what it is called, classes, findings). Raises BuildError where two of them have other classes of one
    data set, or where a value stands for different combinations in them, or one combination has different values.
    """
    classes: dict[str, tuple[str, tuple[ClassEntry, ...]]] = {}
    values: dict[tuple[str, Members], tuple[int, str]] = {}
    meant: dict[tuple[str, int], Members] = {}
    for where, table, findings in stores:
        own = findings.filter(
            pc.is_in(findings.column("dataset"), value_set=pa.array(sorted(datasets), pa.string()))
        )
        held = {entry.dataset: entry.dataset for entry in table if entry.dataset in datasets}
        held |= dict.fromkeys(own.column("dataset").to_pylist())
        for name in held:
            plain = tuple(replace(entry, ids=entry.label_ids) for entry in table.of_dataset(name))
            first, other = classes.setdefault(name, (where, plain))
            if other != plain:
                raise BuildError(
                    _cannot_join(first, where, f"the classes of {name} are not the same in both")
                )
        for (name, members), value in _known(table, held, own).items():
            one, first = values.setdefault((name, members), (value, where))
            two = meant.setdefault((name, value), members)
            if (one, two) != (value, members):
                what = f"combinations of overlapping classes of {name} have other mask values in both"
                raise BuildError(_cannot_join(stores[0][0] if first == where else first, where, what))
    merged = {key: value for key, (value, _) in values.items()}
    entries = (entry for _, plain in classes.values() for entry in plain)
    return Numbering(ClassTable(tuple(_with_values(entry, merged) for entry in entries)), merged)


def _cannot_join(first: str, second: str, why: str) -> str:
    return (
        f"rows of {first} and {second} cannot be put into one store: {why}, and rows are copied as they are. Build one with "
        "fve build --only instead"
    )


def _known(
    table: ClassTable, datasets: Iterable[str], findings: pa.Table | None
) -> dict[tuple[str, Members], int]:
    """The values that a store has for combinations: classes with ids that are no label's, and findings' own."""
    members: dict[tuple[str, int], set[int]] = {}
    labels: dict[str, set[int]] = {}
    for name in datasets:
        labels[name] = {label for entry in table.of_dataset(name) for label in entry.label_ids}
        for value, own in table.combinations(name).items():
            members[name, value] = set(own)
    for row in [] if findings is None else findings.select(["dataset", "finding", "mask_ids"]).to_pylist():
        for value in row["mask_ids"]:
            if value not in labels[row["dataset"]]:
                members.setdefault((row["dataset"], value), set()).add(-1 - row["finding"])
    return {(name, tuple(sorted(own))): value for (name, value), own in members.items()}


class _Shown:
    """What the masks of a rendition make of a combination: only the classes that it shows count."""

    def __init__(self, table: ClassTable, dataset: str, rendition: str) -> None:
        shown = table.shown(dataset, rendition)
        self._ids = {entry.class_id for entry in shown}
        labels: dict[int, list[int]] = {}
        for entry in shown:
            for label in entry.label_ids:
                labels.setdefault(label, []).append(entry.class_id)
        self._labels: dict[Members, int] = {}
        for label in sorted(labels):
            self._labels.setdefault(tuple(sorted(labels[label])), label)

    def of(self, members: Members) -> Members:
        return tuple(member for member in members if member < 0 or member in self._ids)

    def label(self, members: Members) -> int | None:
        """The value that these classes have already: 0 for none, or a label that is just these."""
        return self._labels.get(members) if members else 0


def _with_values(entry: ClassEntry, values: Mapping[tuple[str, Members], int]) -> ClassEntry:
    own = sorted(
        value
        for (dataset, members), value in values.items()
        if dataset == entry.dataset and entry.class_id in members
    )
    return replace(entry, ids=(*entry.label_ids, *own))


def _no_value(
    facts: CaseFacts, members: Members, table: ClassTable, known_only: bool, mask_dtype: str
) -> str:
    names = ", ".join(
        table.find(facts.dataset, one).name if one > 0 else f"finding {-one}" for one in members
    )
    if known_only:
        return (
            f"{facts.case}: {names} overlap in it, which they did not when the store was built: "
            "the sources or the settings are not those of the build"
        )
    return (
        f"{facts.case}: {names} overlap, and {mask_dtype} masks have no value left for one more combination of "
        f"classes of {facts.dataset}. Build anew with --overwrite, or give classes a priority in the catalog"
    )
