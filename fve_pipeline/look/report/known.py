"""What the store knows of scored cases, whose score file has their files' names and may have no more."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from fve_pipeline.store.reader import Store

__all__ = ["KnownCase", "KnownCases"]


@dataclass(frozen=True, slots=True)
class KnownCase:
    """A case's dataset and modality, and the window of its first rendition where it has one."""

    dataset: str
    modality: str
    window: str | None


@dataclass(frozen=True)
class KnownCases:
    """Cases by their ids and by their names; a name that two datasets share is nobody's."""

    by_name: Mapping[str, KnownCase]

    @classmethod
    def of(cls, store: Store) -> Self:
        found: dict[str, KnownCase] = {}
        twice = set()
        for row in store.cases.select(["case", "dataset", "modality", "recipe"]).to_pylist():
            # No recipe lies in a store that was not built from files.
            renditions = json.loads(row["recipe"])["case"]["renditions"] if row["recipe"] else []
            known = KnownCase(
                row["dataset"], row["modality"], renditions[0]["window"] if renditions else None
            )
            name = row["case"].partition("/")[2]
            if name in found:
                twice.add(name)
            found |= {row["case"]: known, name: known}
        return cls({name: known for name, known in found.items() if name not in twice})

    def of_case(self, case: str) -> KnownCase | None:
        """Return the case that a scored file belongs to: by its path, or by a folder or name in it."""
        keys = (case, *reversed(case.split("/")))
        return next((self.by_name[key] for key in keys if key in self.by_name), None)

    def filled(self, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return rows of scores with the dataset and modality that they lack."""
        out = []
        for row in rows:
            known = self.of_case(row["case"])
            own = {} if known is None else {"dataset": known.dataset, "modality": known.modality}
            out.append({**row, **{key: row[key] or value for key, value in own.items()}})
        return out
