"""What the prepare stage leaves for the encode stage: datasets, cases in catalog order, failures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from fve_pipeline.build.prepare.facts import Failure
from fve_pipeline.catalog import Catalog
from fve_pipeline.errors import BuildError
from fve_pipeline.files.atomic import sweep_partials, write_whole
from fve_pipeline.store.class_table import ClassEntry, ClassTable
from fve_pipeline.store.reader import Store

__all__ = [
    "Roster",
    "RosterDataset",
    "class_table_of",
    "datasets_of_store",
    "describe_dataset",
    "read_roster",
    "write_roster",
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RosterDataset(_Frozen):
    """What the store records of one dataset. ``catalog_sha256`` is over everything its catalog says.

    Combinations of overlapping labels are numbered from ``first_combination`` on.
    """

    name: str
    modality: str
    licence: str
    citation: str
    url: str
    catalog_sha256: str
    instance: bool
    mask_dtype: str
    classes: tuple[ClassEntry, ...]
    first_combination: int = 1
    overlaps: bool = False
    findings: Literal["complete", "partial"] | None = None


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
    classes = tuple(
        ClassEntry(
            catalog.name,
            spec.id,
            spec.name,
            spec.ids,
            spec.instance,
            spec.side or "",
            spec.prompts,
            _meant_for(catalog, spec.id),
        )
        for spec in catalog.classes
    )
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
        classes=classes,
        first_combination=catalog.first_combination,
        overlaps=catalog.overlaps,
        findings=None if catalog.findings is None else "complete" if catalog.findings.complete else "partial",
    )


def datasets_of_store(store: Store) -> tuple[RosterDataset, ...]:
    """The datasets of a committed store, as it records them."""
    classes = {
        source.dataset: store.class_table.of_dataset(source.dataset) for source in store.manifest.sources
    }
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
            instance=any(entry.instance for entry in classes[source.dataset]),
            mask_dtype=store.settings.mask_dtype,
            classes=classes[source.dataset],
            findings=source.findings,
        )
        for source in store.manifest.sources
    )


def class_table_of(datasets: Iterable[RosterDataset]) -> ClassTable:
    """Return the classes of all of the datasets, in order."""
    return ClassTable(tuple(entry for dataset in datasets for entry in dataset.classes))


def _meant_for(catalog: Catalog, class_id: int) -> tuple[str, ...]:
    """Names of the renditions that show a class; none when all do."""
    if all(rendition.classes is None for rendition in catalog.renditions):
        return ()
    return tuple(spec.name for spec in catalog.renditions if spec.classes is None or class_id in spec.classes)


def write_roster(work: Path, roster: Roster) -> None:
    """Write it whole or not at all."""
    sweep_partials(work)
    with write_whole(work / "roster.json") as file:
        file.write(roster.model_dump_json(indent=1).encode())


def read_roster(work: Path) -> Roster:
    """Raises BuildError when no prepare stage has finished in ``work``."""
    try:
        return Roster.model_validate_json((work / "roster.json").read_text())
    except FileNotFoundError as error:
        msg = f"{work}: no finished prepare stage here (no roster.json). Run `fve prepare ... --work {work}` first."
        raise BuildError(msg) from error
