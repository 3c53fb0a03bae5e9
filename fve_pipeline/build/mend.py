"""Files of a committed store, other than shards, made again: metadata from the manifest, tables from facts."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from fve_kernels.cpu_statistics import label_counts
from fve_pipeline.build.again import facts_again
from fve_pipeline.build.encode.numbering import number_combinations
from fve_pipeline.build.encode.plan import plan_runs, plan_settings
from fve_pipeline.build.encode.stage import finding_rows
from fve_pipeline.build.encode.tables import RowClasses, case_rows, index_rows
from fve_pipeline.build.prepare.facts import CaseFacts
from fve_pipeline.build.prepare.journal import read_journal
from fve_pipeline.build.prepare.roster import read_roster
from fve_pipeline.build.transaction import Transaction
from fve_pipeline.errors import BuildError, FveError
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.runtime.threads import prefetch
from fve_pipeline.store.documents import store_documents
from fve_pipeline.store.layout import MANIFEST
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.schema import ShardEntry, TableName
from fve_pipeline.store.tables import schema_of, table_bytes

__all__ = ["mend_documents", "mend_tables"]

# Each can be made once those before it are whole.
_ORDER: tuple[TableName, ...] = ("classes", "findings", "cases", "index")

# Damage changes a few characters of a hash that is written down; another manifest changes nearly all 64.
_FEW = 8


def mend_documents(held: Transaction, store: Store) -> list[str]:
    """Write the zarr metadata that the manifest implies, where it is another; return the keys of what was written.

    Raises BuildError when the manifest itself is not the one that was committed: nothing is written then.
    """
    found = {key: _read(store, key) for key in store_documents(store.manifest)}
    implied = hashlib.sha256(store.manifest.to_bytes()).hexdigest()
    recorded = _recorded_manifest(found["zarr.json"])
    if recorded is not None and sum(a != b for a, b in zip(recorded, implied, strict=True)) > _FEW:
        msg = (
            f"{store.files.url}/{MANIFEST} is not the one that was committed, by its sha256 in zarr.json, and cannot "
            "be made again: restore it from a copy, or build anew with --overwrite"
        )
        raise BuildError(msg)
    wrong = {key: data for key, data in store_documents(store.manifest).items() if found[key] != data}
    for key, data in wrong.items():
        held.put(key, data)
    return list(wrong)


def mend_tables(
    held: Transaction,
    store: Store,
    damaged: Collection[TableName],
    roots: Mapping[str, Path],
    work: Path,
    resources: Resources,
) -> tuple[list[str], dict[str, str]]:
    """Make damaged tables again and put them in place when they are byte for byte what was committed.

    Classes come from the catalogs as the last build left them in ``work``, cases from the facts there, and the
    index from facts, made again from the sources under ``roots`` where need be, and the store's own masks.
    Returns the keys of what was mended, and why the others were not, by key.
    """
    mended, reasons = [], {}
    left = set(damaged)
    for name in (name for name in _ORDER if name in damaged):
        entry = store.manifest.tables[name]
        try:
            made = _table(store, name, left, roots, work, resources)
            data = table_bytes(made, schema_of(name, store.manifest.format_version))
            if hashlib.sha256(data).hexdigest() != entry.file.sha256:
                msg = f"made again from {work} it is not what was committed: that is of another build"
                raise BuildError(msg)
        except FveError as error:
            reasons[entry.file.key] = str(error)
            continue
        held.put(entry.file.key, data)
        mended.append(entry.file.key)
        left.discard(name)
        store = open_store(store.files.url)
    return mended, reasons


def _table(
    store: Store,
    name: TableName,
    damaged: Collection[TableName],
    roots: Mapping[str, Path],
    work: Path,
    resources: Resources,
) -> pa.Table:
    if name == "classes":
        known = {dataset.name: dataset for dataset in read_roster(work).datasets}
        absent = [source.dataset for source in store.manifest.sources if source.dataset not in known]
        if absent:
            msg = f"the last build in {work} was not of {absent[0]}, so its classes are not to be had from there"
            raise BuildError(msg)
        datasets = [known[source.dataset] for source in store.manifest.sources]
        overlapping = any(dataset.overlaps for dataset in datasets)
        order = _case_order(store, damaged, work) if overlapping else ()
        facts = _journal_facts(order, work)
        numbered = (facts[case] for case in order)
        return number_combinations(datasets, numbered, store.settings.mask_dtype).table.to_arrow()
    cases = _case_order(store, damaged, work)
    if name == "findings":
        facts = _journal_facts(cases, work)
        own = partial(map, facts.__getitem__, cases)
        numbering = number_combinations(read_roster(work).datasets, own(), store.settings.mask_dtype)
        return finding_rows(numbering, own())
    plan = plan_settings(store.settings)
    if name == "cases":
        facts = _journal_facts(cases, work)
        samples = dict.fromkeys(cases, 0)
        for run in plan_runs((facts[case] for case in cases), plan):
            samples[run.case] += run.length
        return case_rows((facts[case] for case in cases), plan, samples)
    if "cases" in damaged:
        facts = _journal_facts(cases, work)
    else:
        facts = facts_again(store, cases, roots, work, resources)
    runs = plan_runs((facts[case] for case in cases), plan)
    shown = [(facts[run.case].dataset, run.rendition) for run in runs for _ in range(run.length)]
    if len(shown) != len(store):
        msg = f"the cases of {work} give {len(shown)} samples where {len(store)} were committed"
        raise BuildError(msg)
    return index_rows(runs, facts, plan, _counted_in_masks(store, shown))


def _case_order(store: Store, damaged: Collection[TableName], work: Path) -> list[str]:
    for name in ("cases", "index"):
        if name not in damaged:
            found: list[str] = pc.unique(getattr(store, name).column("case")).to_pylist()
            return found
    return list(read_roster(work).cases)


def _journal_facts(cases: Iterable[str], work: Path) -> Mapping[str, CaseFacts]:
    facts = read_journal(work / "journal")
    for case in cases:
        if case not in facts:
            msg = (
                f"what was found out about {case} is not in {work}: give --work DIR, the folder of the build"
            )
            raise BuildError(msg)
    return facts


def _counted_in_masks(store: Store, shown: list[tuple[str, str]]) -> Iterator[RowClasses]:
    """Class ids and pixels of each row, whose dataset and rendition are given."""
    held = {key: store.class_table.of_masks(*key) for key in set(shown)}

    def count(entry: ShardEntry) -> list[RowClasses]:
        first = entry.shard * store.settings.shard_samples
        found: list[RowClasses] = []
        for row in range(first, first + entry.n_rows):
            present = held[shown[row]].present(label_counts(store.read_masks(row, row + 1)))
            found.append((tuple(present), tuple(present.values())))
        return found

    for rows in prefetch(count, store.manifest.shards, os.cpu_count() or 1):
        yield from rows


def _read(store: Store, key: str) -> bytes:
    try:
        return store.files.read(key)
    except FileNotFoundError:
        return b""


def _recorded_manifest(document: bytes) -> str | None:
    """The manifest's sha256 as the root's metadata have it; None when they cannot be read."""
    try:
        found = json.loads(document)["attributes"]["fve"]["manifest_sha256"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) and len(found) == 64 else None
