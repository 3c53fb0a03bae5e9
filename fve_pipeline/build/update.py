"""A store brought up to its sources: what changed there is prepared and encoded again, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from fve_pipeline.build.cases import Dataset, expand_datasets, find_jobs
from fve_pipeline.build.changes import Changes, classes_differ, find_changes
from fve_pipeline.build.corrections import Corrected, correct
from fve_pipeline.build.digests import keep_digests, row_digests
from fve_pipeline.build.encode.stage import source_entry
from fve_pipeline.build.prepare.facts import Failure
from fve_pipeline.build.prepare.job import PrepareJob, prepare_settings
from fve_pipeline.build.prepare.journal import forget
from fve_pipeline.build.prepare.roster import (
    RosterDataset,
    datasets_of_store,
    describe_dataset,
    write_roster,
)
from fve_pipeline.build.prepare.stage import Prepared, prepare_cases
from fve_pipeline.build.prepare.veil import salt_mark
from fve_pipeline.build.rewrite import RewritePlan, laid_cases, plan_rewrite
from fve_pipeline.build.settings import settings_for
from fve_pipeline.build.transaction import Transaction, transaction, working_in
from fve_pipeline.catalog.errata import Erratum
from fve_pipeline.errors import BuildError
from fve_pipeline.files.open import open_files
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.commit import Rewrite
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.receipt import Receipt
from fve_pipeline.store.schema import FailureEntry, Manifest, SourceEntry
from fve_pipeline.store.verify import require_sound_base

__all__ = ["UpdateSummary", "publish_rewrite", "update_store", "what_changed"]

_NONE: Mapping[str, Erratum] = {}


@dataclass(frozen=True, slots=True)
class UpdateSummary:
    """What an update did: ``cases`` by the reason, and the store now; ``written`` of its ``shards`` were."""

    out: str
    generation: int
    cases: dict[str, list[str]]
    n_cases: int
    n_samples: int
    written: int
    shards: int
    content_id: str
    failures: tuple[Failure, ...]


def what_changed(
    out: str,
    datasets: Sequence[Dataset],
    work: Path,
    resources: Resources,
    salt: str | None = None,
    errata: Mapping[str, Erratum] = _NONE,
) -> tuple[Changes, int]:
    """Return what an update would be about, and how many of the store's shards hold rows of it. Nothing is written.

    Raises as :func:`update_store` does.
    """
    base, found = _beside(out, datasets, salt)
    corrected = correct(_jobs(base, found, work, salt), errata, found, work, resources)
    changes = _find(base, found, corrected, work, resources)
    held, capacity = laid_cases(base), base.settings.shard_samples
    rows = [
        held[case] for case in {*changes.vanished, *(job.case.id for job in changes.jobs)} if case in held
    ]
    shards = {shard for one in rows for shard in range(one.start // capacity, (one.stop - 1) // capacity + 1)}
    return changes, len(shards)


def update_store(
    out: str,
    datasets: Sequence[Dataset],
    work: Path,
    resources: Resources,
    salt: str | None = None,
    errata: Mapping[str, Erratum] = _NONE,
) -> UpdateSummary:
    """Bring the store ``out`` up to its sources: take in what is new or changed, take out what is no longer found.

    ``errata`` correct or drop cases on the way, by the sha256 of their images. A changed case that cannot be prepared
    stays as it was, on record. Data sets that are not named stay as they are.
    Only shards whose rows change are written, and what they replace is kept as the generation before.

    Raises StoreError when there is no store, BuildError when it cannot take what its catalogs declare now; otherwise as
    a build does.
    """
    _, found = _beside(out, datasets, salt)  # refuse before leaving a lock in a new folder
    with transaction(out, resources) as held, working_in(work):
        base = held.base
        assert base is not None
        _require_fitting(base, datasets, salt)
        corrected = correct(_jobs(base, found, work, salt), errata, found, work, resources)
        described = _described(found)
        changes = _find(base, found, corrected, work, resources)
        if not changes:
            return _summary(out, base.manifest, {}, 0, ())
        require_sound_base(base)
        prepared = prepare_cases(found, changes.jobs, work, base.settings, {}, resources)
        failures = prepared.roster.failures
        write_roster(
            work,
            prepared.roster.model_copy(update={"cases": _roster(base, corrected.jobs, changes, prepared)}),
        )
        failed = {failure.case for failure in failures}
        _require_all_of_other_classes(base, described, failures)
        facts = {case: prepared.facts[case] for case in prepared.cases}
        told = _without(changes, failed)
        if not facts and not changes.vanished:
            return _summary(out, base.manifest, {}, 0, failures)
        plan = plan_rewrite(base, frozenset(changes.vanished), facts, row_digests(work, base, resources))
        names = {dataset.name for dataset in described}
        manifest = publish_rewrite(
            held,
            plan,
            plan.rewrite("update", told),
            work,
            datasets=_datasets(base, described),
            sources=_sources(base, described),
            failures=_failures(base, names, (*corrected.dropped, *failures), set(changes.vanished)),
        )
        forget(work, changes.vanished)
        return _summary(out, manifest, told, len(plan.shards) - len(plan.staying), failures)


def publish_rewrite(
    held: Transaction,
    plan: RewritePlan,
    rewrite: Rewrite,
    work: Path,
    *,
    datasets: Sequence[RosterDataset],
    sources: Sequence[SourceEntry],
    failures: Sequence[FailureEntry],
) -> Manifest:
    """Commit the changed store, and leave the digests of its rows in ``work``.

    ``datasets`` are all of the store's, in its order.
    """
    if not plan.order:
        msg = f"{plan.base.files.url}: no case would be left. Remove the folder instead"
        raise BuildError(msg)
    numbering, findings = plan.number(datasets)
    shards = plan.work(open_files(work / "prepared"), numbering, held.resources.device)

    def index(receipts: Sequence[Receipt]) -> pa.Table:
        keep_digests(work, plan.all_digests(rewrite, receipts), plan.base)
        return plan.index(receipts)

    return held.publish(plan.content(rewrite, numbering.table, findings, sources, failures), shards, index)


def _find(
    base: Store, found: Sequence[Dataset], corrected: Corrected, work: Path, resources: Resources
) -> Changes:
    dropped = [one.case for one in corrected.dropped]
    return find_changes(base, _described(found), corrected.jobs, dropped, work, resources)


def _described(found: Sequence[Dataset]) -> list[RosterDataset]:
    return [describe_dataset(dataset.catalog) for dataset in found]


def _beside(out: str, datasets: Sequence[Dataset], salt: str | None) -> tuple[Store, list[Dataset]]:
    """Return the store, and the data sets of the catalogs, where it can be brought up to them."""
    base = open_store(out)
    found = expand_datasets(datasets)
    _require_fitting(base, datasets, salt)
    return base, found


def _require_fitting(base: Store, datasets: Sequence[Dataset], salt: str | None) -> None:
    """Raise BuildError when the store cannot hold what the catalogs declare now."""
    if salt_mark(salt) != base.settings.subject_salt:
        msg = (
            f"{base.files.url} was built {'without' if base.settings.subject_salt is None else 'with another'} "
            "--hash-subjects: its cases are known by other names. Give the same salt as then, or none"
        )
        raise BuildError(msg)
    asked = settings_for(datasets)
    wider = asked.mask_dtype == "uint16" and base.settings.mask_dtype == "uint8"
    if wider or (asked.overlaps and not base.settings.overlaps):
        what = "labels that may overlap" if asked.overlaps else "ids that need uint16"
        msg = (
            f"{base.files.url} was built for masks of {base.settings.mask_dtype} without overlaps, and the catalogs declare "
            f"{what} now: build it anew with fve build --overwrite"
        )
        raise BuildError(msg)


def _require_all_of_other_classes(
    base: Store, described: Sequence[RosterDataset], failures: Sequence[Failure]
) -> None:
    """Raise BuildError for a case that would stay as it was in a data set whose classes are others now."""
    other = {dataset.name for dataset in described if classes_differ(base, dataset)}
    held = set(base.cases.column("case").to_pylist()) if other else set()
    for failure in failures:
        if failure.dataset in other and failure.case in held:
            msg = (
                f"{failure.case} cannot be prepared: {failure.reason}. Its masks would mean other classes than the "
                f"catalog {failure.dataset!r} declares now. Mend it, or take it out with fve withdraw first"
            )
            raise BuildError(msg)


def _jobs(base: Store, found: Sequence[Dataset], work: Path, salt: str | None) -> list[PrepareJob]:
    return find_jobs(found, work, prepare_settings(base.settings), salt=salt)


def _roster(base: Store, jobs: Sequence[PrepareJob], changes: Changes, prepared: Prepared) -> tuple[str, ...]:
    """Cases that are prepared now or were for the store, in catalog order."""
    have = {*base.cases.column("case").to_pylist(), *prepared.cases} - set(changes.vanished)
    return tuple(job.case.id for job in jobs if job.case.id in have)


def _without(changes: Changes, failed: set[str]) -> dict[str, list[str]]:
    """Return what the history says: cases that failed are among the failures, not here."""
    named = {changes.renamed[case]: case for case in changes.renamed}
    told = {
        reason: [case for case in cases if case.split(" -> ")[-1] not in failed]
        for reason, cases in changes.told().items()
    }
    lost = [case for case in changes.vanished if named.get(case) in failed]
    if lost:
        told["vanished"] = [*told.get("vanished", []), *lost]
    return {reason: cases for reason, cases in told.items() if cases}


def _datasets(base: Store, described: Sequence[RosterDataset]) -> list[RosterDataset]:
    """Data sets of the store, the named ones as their catalogs have them now, and new ones after them.

    The values that the store has for combinations of classes stay, as long as the classes are the same.
    """
    held = {dataset.name: dataset for dataset in datasets_of_store(base)}
    now = {dataset.name: dataset for dataset in described}
    for name in held.keys() & now.keys():
        if not classes_differ(base, now[name]):
            values = {entry.class_id: entry.ids for entry in held[name].classes}
            classes = tuple(replace(entry, ids=values[entry.class_id]) for entry in now[name].classes)
            now[name] = now[name].model_copy(update={"classes": classes})
    return list((held | now).values())


def _sources(base: Store, described: Sequence[RosterDataset]) -> list[SourceEntry]:
    now = {dataset.name: source_entry(dataset) for dataset in described}
    held = [now.pop(source.dataset, source) for source in base.manifest.sources]
    return [*held, *now.values()]


def _failures(
    base: Store, names: set[str], failures: Sequence[Failure], gone: set[str]
) -> list[FailureEntry]:
    """Failures of data sets that are not named, and those of today; cases that are in the store stay as they were."""
    committed = set(base.cases.column("case").to_pylist()) - gone
    others = [one for one in base.manifest.failures if one.case.split("/")[0] not in names]
    told = [
        FailureEntry(
            case=one.case,
            stage=one.stage,
            reason=f"it stays as it was before: {one.reason}" if one.case in committed else one.reason,
        )
        for one in failures
    ]
    return [*others, *told]


def _summary(
    out: str, manifest: Manifest, cases: dict[str, list[str]], written: int, failures: tuple[Failure, ...]
) -> UpdateSummary:
    return UpdateSummary(
        out=out,
        generation=manifest.generation,
        cases=cases,
        n_cases=manifest.n_cases,
        n_samples=manifest.n_samples,
        written=written,
        shards=len(manifest.shards),
        content_id=manifest.content_id,
        failures=failures,
    )
