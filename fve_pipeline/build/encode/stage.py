"""The second flat map: prepared cases -> the plan of a store, its shards' work, and what its commit publishes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import pyarrow as pa

from fve_pipeline.build.encode.numbering import Numbering, number_combinations
from fve_pipeline.build.encode.plan import (
    PlannedRun,
    ShardPlan,
    plan_hash,
    plan_runs,
    plan_settings,
    plan_shards,
)
from fve_pipeline.build.encode.shard import (
    ENCODE_VERSION,
    EncodeJob,
    PreparedCase,
    encode_shard,
    encoding_inputs,
    predicted_bytes,
)
from fve_pipeline.build.encode.tables import case_rows, index_rows
from fve_pipeline.build.prepare.facts import CaseFacts
from fve_pipeline.build.prepare.job import PREPARE_VERSION
from fve_pipeline.build.prepare.roster import Roster, RosterDataset, datasets_of_store
from fve_pipeline.build.prepare.stage import Prepared
from fve_pipeline.build.transaction import ShardWork
from fve_pipeline.errors import BuildError
from fve_pipeline.files.base import Files
from fve_pipeline.store.commit import StoreContent
from fve_pipeline.store.content import EMPTY_CONTENT
from fve_pipeline.store.findings import findings_digests
from fve_pipeline.store.reader import Store
from fve_pipeline.store.receipt import Receipt
from fve_pipeline.store.schema import FailureEntry, SourceEntry, StoreSettings, Versions
from fve_pipeline.store.stage import ShardTarget
from fve_pipeline.store.tables import FINDINGS_SCHEMA

__all__ = ["StorePlan", "case_inputs", "finding_rows", "plan_store", "prepared_cases", "source_entry"]


def plan_store(prepared: Prepared, settings: StoreSettings, base: Store | None) -> StorePlan:
    """Plan the store that holds the prepared cases, after the rows of ``base`` when it is to grow.

    Raises BuildError when there is nothing to encode.
    """
    if not prepared.cases:
        raise BuildError(_nothing(prepared.roster))
    first_row = base.manifest.n_samples if base else 0
    facts = partial(map, prepared.facts.__getitem__, prepared.cases)
    runs = plan_runs(facts(), plan_settings(settings), first_row)
    shards = {plan.shard: plan for plan in plan_shards(runs, settings.shard_samples)}
    findings = base.findings if base else None
    numbering = number_combinations(_datasets(prepared.roster, base), facts(), settings.mask_dtype, findings)
    return StorePlan(prepared, settings, base, runs, shards, numbering)


def _datasets(roster: Roster, base: Store | None) -> list[RosterDataset]:
    """Datasets in the store's order, those that it holds with the values that their classes have there."""
    held = {dataset.name: dataset for dataset in datasets_of_store(base)} if base else {}
    listed = {dataset.name: dataset for dataset in roster.datasets}
    return [
        (listed[name].model_copy(update={"classes": held[name].classes}) if name in held else listed[name])
        if name in listed
        else held[name]
        for name in {**held, **listed}
    ]


@dataclass(frozen=True, slots=True)
class StorePlan:
    """Rows of the cases in ``prepared``, in runs, and the shards that hold them, by number."""

    prepared: Prepared
    settings: StoreSettings
    base: Store | None
    runs: Sequence[PlannedRun]
    shards: dict[int, ShardPlan]
    numbering: Numbering

    def work(self, prepared_files: Files, device: str) -> ShardWork:
        """Return the shards to encode from the prepared store."""
        facts = self.prepared.facts
        lookup = prepared_cases(self.numbering, (facts[case] for case in self.prepared.cases))

        def job(target: ShardTarget) -> tuple[EncodeJob, int]:
            plan = self.shards[target.shard]
            cases = {segment.case: lookup[segment.case] for segment in plan.segments}
            made = EncodeJob(target, prepared_files, plan, cases, device)
            return made, predicted_bytes(made)

        rows = sum(run.length for run in self.runs)
        return ShardWork("encode", rows, self._hashes(), job, encode_shard)

    def _hashes(self) -> dict[int, str]:
        encoding = encoding_inputs(self.settings)
        # A tail shard that is taken over is part of its successor's bytes.
        before = self.base.manifest.content_id if self.base else EMPTY_CONTENT
        inputs = {
            case: case_inputs(self.numbering, self.prepared.facts[case]) for case in self.prepared.cases
        }
        return {
            number: plan_hash(plan, encoding | ({"after": before} if plan.copied else {}), inputs)
            for number, plan in self.shards.items()
        }

    def content(self) -> StoreContent:
        """Return what the commit publishes besides shards and index: committed rows first, then the new ones."""
        roster, plan = self.prepared.roster, plan_settings(self.settings)
        samples: dict[str, int] = {}
        for run in self.runs:
            samples[run.case] = samples.get(run.case, 0) + run.length
        cases = case_rows((self.prepared.facts[case] for case in self.prepared.cases), plan, samples)
        classes = self.numbering.table.to_arrow()
        findings = finding_rows(self.numbering, (self.prepared.facts[case] for case in self.prepared.cases))
        sources = [source_entry(dataset) for dataset in roster.datasets]
        failures = [FailureEntry(case=f.case, stage=f.stage, reason=f.reason) for f in roster.failures]
        if self.base is not None:
            # What is committed stays in place. Catalogs that changed were refused.
            cases = pa.concat_tables([self.base.cases, cases])
            findings = pa.concat_tables([self.base.findings, findings])
            old = self.base.manifest
            held = {source.dataset for source in old.sources}
            added = [dataset for dataset in roster.datasets if dataset.name not in held]
            sources = [*old.sources, *map(source_entry, added)]
            listed = {dataset.name for dataset in roster.datasets}
            failures = [f for f in old.failures if f.case.split("/")[0] not in listed] + failures
        return StoreContent(
            settings=self.settings,
            versions=Versions(prepare=PREPARE_VERSION, encode=ENCODE_VERSION),
            sources=sources,
            failures=failures,
            cases=cases,
            classes=classes,
            findings=findings if len(findings) else None,
            previous=self.base.manifest if self.base else None,
        )

    def index(self, receipts: Sequence[Receipt]) -> pa.Table:
        """Return the whole index; the receipts, in order, tell which classes the new rows show."""
        shown = (row for found in receipts for row in zip(found.class_ids, found.class_pixels, strict=True))
        new = index_rows(self.runs, self.prepared.facts, plan_settings(self.settings), shown)
        if self.base is None:
            return new
        return pa.concat_tables([self.base.index, new]).unify_dictionaries()


def case_inputs(numbering: Numbering, facts: CaseFacts) -> str:
    """Name what a case's rows are made from: the prepared arrays, and what their combinations are called."""
    if not facts.combinations and not facts.findings:
        return facts.inputs
    values = [numbering.of_case(facts, name) for name in facts.renditions]
    return hashlib.sha256(json.dumps([facts.inputs, values]).encode()).hexdigest()


def prepared_cases(numbering: Numbering, cases: Iterable[CaseFacts]) -> dict[str, PreparedCase]:
    """Return what encoding needs to know of each case, by case id."""
    held = cache(numbering.table.of_masks)

    def digest(facts: CaseFacts) -> str | None:
        return findings_digests(finding_rows(numbering, [facts])).get(facts.case) if facts.findings else None

    return {
        facts.case: PreparedCase(
            group=facts.group,
            shape=facts.shape,
            renditions={name: held(facts.dataset, name) for name in facts.renditions},
            values={name: numbering.of_case(facts, name) for name in facts.renditions}
            if facts.combinations
            else {},
            findings=digest(facts),
        )
        for facts in cases
    }


def finding_rows(numbering: Numbering, cases: Iterable[CaseFacts]) -> pa.Table:
    """Return ``findings.parquet`` of these cases."""
    rows = (row for facts in cases if facts.findings for row in numbering.findings(facts))
    return pa.Table.from_pylist(list(rows), schema=FINDINGS_SCHEMA)


def source_entry(dataset: RosterDataset) -> SourceEntry:
    """Return a data set as the manifest lists it."""
    return SourceEntry(
        dataset=dataset.name,
        licence=dataset.licence,
        citation=dataset.citation,
        url=dataset.url,
        catalog_sha256=dataset.catalog_sha256,
        findings=dataset.findings,
    )


def _nothing(roster: Roster) -> str:
    if not roster.failures:
        return "there is no case to build"
    first = roster.failures[0]
    return f"all {len(roster.failures)} cases failed, the first {first.case}: {first.reason}"
