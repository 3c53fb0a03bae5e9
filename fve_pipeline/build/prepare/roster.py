"""What the prepare stage leaves for the encode stage: datasets, cases in catalog order, failures."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from fve_pipeline.build.prepare.facts import Failure
from fve_pipeline.catalog import Catalog
from fve_pipeline.errors import BuildError
from fve_pipeline.store.reader import Store

__all__ = [
    "ClassRow",
    "Roster",
    "RosterDataset",
    "datasets_of_store",
    "describe_dataset",
    "read_roster",
    "write_roster",
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassRow(_Frozen):
    """One class, as ``classes.parquet`` holds it. ``renditions`` are those it is meant for; none means all."""

    dataset: str
    class_id: int
    name: str
    ids: tuple[int, ...]
    instance: bool
    side: str
    prompts: tuple[str, ...]
    renditions: tuple[str, ...]


class RosterDataset(_Frozen):
    """What the store records of one dataset. ``catalog_sha256`` is over everything its catalog says."""

    name: str
    modality: str
    licence: str
    citation: str
    url: str
    catalog_sha256: str
    instance: bool
    mask_dtype: str
    classes: tuple[ClassRow, ...]


class Roster(_Frozen):
    """``cases`` are the ids of prepared cases, in catalog order; ``settings`` are those of the
    prepare stage that made them, and ``subject_salt`` is the store's."""

    settings: dict[str, str | float | bool | None]
    subject_salt: str | None
    datasets: tuple[RosterDataset, ...]
    cases: tuple[str, ...]
    failures: tuple[Failure, ...]


def describe_dataset(catalog: Catalog) -> RosterDataset:
    """A catalog as the store records it."""
    rows = [
        ClassRow.model_validate({**row, "renditions": _meant_for(catalog, row["class_id"])})
        for row in catalog.class_table()
    ]
    text = json.dumps(catalog.model_dump(mode="json"), sort_keys=True)
    return RosterDataset(
        name=catalog.name,
        modality=str(catalog.modality),
        licence=catalog.licence,
        citation=catalog.citation,
        url=catalog.url,
        catalog_sha256=hashlib.sha256(text.encode()).hexdigest(),
        instance=catalog.instance,
        mask_dtype=catalog.mask_dtype,
        classes=tuple(rows),
    )


def datasets_of_store(store: Store) -> tuple[RosterDataset, ...]:
    """The datasets of a committed store, as it records them."""
    classes: dict[str, list[ClassRow]] = {}
    for row in store.classes.to_pylist():
        classes.setdefault(row["dataset"], []).append(ClassRow.model_validate(row))
    modality = {
        row["dataset"]: row["modality"] for row in store.cases.select(["dataset", "modality"]).to_pylist()
    }
    return tuple(
        RosterDataset(
            name=source.dataset,
            modality=modality.get(source.dataset, ""),
            licence=source.licence,
            citation=source.citation,
            url=source.url,
            catalog_sha256=source.catalog_sha256,
            instance=any(row.instance for row in classes[source.dataset]),
            mask_dtype=store.settings.mask_dtype,
            classes=tuple(classes[source.dataset]),
        )
        for source in store.manifest.sources
    )


def _meant_for(catalog: Catalog, class_id: int) -> tuple[str, ...]:
    """Names of the renditions that show a class; none when all do."""
    if all(rendition.classes is None for rendition in catalog.renditions):
        return ()
    return tuple(spec.name for spec in catalog.renditions if spec.classes is None or class_id in spec.classes)


def write_roster(work: Path, roster: Roster) -> None:
    """Write it whole or not at all."""
    path = work / "roster.json"
    partial = path.with_suffix(".json.partial")
    with partial.open("w") as file:
        file.write(roster.model_dump_json(indent=1))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_roster(work: Path) -> Roster:
    """Raises BuildError when no prepare stage has finished in ``work``."""
    try:
        return Roster.model_validate_json((work / "roster.json").read_text())
    except FileNotFoundError as error:
        msg = f"{work}: no finished prepare stage here (no roster.json). Run `fve prepare ... --work {work}` first."
        raise BuildError(msg) from error
