"""The second flat map: plan -> staged shards -> one commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import pyarrow as pa

from fve_pipeline.build.encode.plan import (
    PlannedRun,
    PlanSettings,
    ShardPlan,
    plan_hash,
    plan_runs,
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
from fve_pipeline.build.prepare.roster import Roster, RosterDataset, class_table_of
from fve_pipeline.build.prepare.stage import Prepared
from fve_pipeline.errors import BuildError
from fve_pipeline.files.base import Files
from fve_pipeline.files.locks import BuildLock
from fve_pipeline.runtime.executor import Executor, Task
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.store.commit import commit
from fve_pipeline.store.content import EMPTY_CONTENT
from fve_pipeline.store.reader import Store
from fve_pipeline.store.receipt import Receipt, read_receipts
from fve_pipeline.store.schema import FailureEntry, Manifest, SourceEntry, StoreSettings, Versions

__all__ = ["EncodeStage", "plan_settings", "prepared_cases"]


def plan_settings(settings: StoreSettings) -> PlanSettings:
    """The part of the settings that decides the rows."""
    return PlanSettings(
        views=settings.views_rule,
        training_views=settings.training_views,
        seed=settings.seed,
        val_fraction=settings.val_fraction,
        test_fraction=settings.test_fraction,
        shard_samples=settings.shard_samples,
    )


@dataclass(frozen=True, slots=True)
class EncodeStage:
    """Writes the prepared cases that ``base`` lacks into ``store``; ``base`` is None for a new store. The
    holder of ``lock`` commits."""

    store: Files
    prepared_files: Files
    settings: StoreSettings
    base: Store | None
    generation: int
    lock: BuildLock
    device: str = "cpu"

    def run(self, prepared: Prepared, executor: Executor, progress: Progress) -> Manifest:
        """Encode what has no receipt yet, then commit; return the new manifest.

        Raises BuildError when there is nothing to encode.
        """
        settings = plan_settings(self.settings)
        if not prepared.cases:
            msg = _nothing(prepared.roster)
            raise BuildError(msg)
        facts = prepared.facts
        first_row = self.base.manifest.n_samples if self.base else 0
        runs = plan_runs((facts[case] for case in prepared.cases), settings, first_row)
        shards = list(plan_shards(runs, self.settings.shard_samples))
        hashes = self._hashes(shards, {case: facts[case].inputs for case in prepared.cases})
        generation = str(self.generation)

        done = read_receipts(self.store, generation, hashes)
        progress.stage("encode", runs[-1].first_row + runs[-1].length - first_row, "slices")
        progress.advance(sum(receipt.n_rows - receipt.copied for receipt in done.values()))
        missing = [shard for shard in shards if shard.shard not in done]
        lookup = prepared_cases(prepared.roster.datasets, (facts[case] for case in prepared.cases))
        for task, _ in executor.run(write_shard_of, self._tasks(missing, hashes, lookup)):
            shard = task.args[0].shard
            progress.advance(shard.n_rows - shard.copied)

        receipts = read_receipts(self.store, generation, hashes)
        return self._commit(prepared, runs, receipts)

    def _hashes(self, shards: Sequence[ShardPlan], inputs: Mapping[str, str]) -> dict[int, str]:
        encoding = encoding_inputs(self.settings)
        # A tail shard that is taken over is part of its successor's bytes.
        before = self.base.manifest.content_id if self.base else EMPTY_CONTENT
        return {
            shard.shard: plan_hash(shard, encoding | ({"after": before} if shard.copied else {}), inputs)
            for shard in shards
        }

    def _tasks(
        self, shards: Iterable[ShardPlan], hashes: Mapping[int, str], cases: Mapping[str, PreparedCase]
    ) -> Iterator[Task]:
        for shard in shards:
            job = EncodeJob(
                store=self.store,
                prepared=self.prepared_files,
                generation=str(self.generation),
                shard=shard,
                plan_hash=hashes[shard.shard],
                settings=self.settings,
                cases={segment.case: cases[segment.case] for segment in shard.segments},
                device=self.device,
            )
            yield Task(f"encode shard {shard.shard}", (job,), predicted_bytes(job))

    def _commit(
        self, prepared: Prepared, runs: Sequence[PlannedRun], receipts: Mapping[int, Receipt]
    ) -> Manifest:
        settings = plan_settings(self.settings)
        roster = prepared.roster
        samples: dict[str, int] = {}
        for run in runs:
            samples[run.case] = samples.get(run.case, 0) + run.length
        in_order = [receipt for _, receipt in sorted(receipts.items())]
        index = index_rows(runs, prepared.facts, settings, in_order)
        table = case_rows((prepared.facts[case] for case in prepared.cases), settings, samples)
        classes = class_table_of(roster.datasets).to_arrow()
        sources = [_source(dataset) for dataset in roster.datasets]
        failures = [FailureEntry(case=f.case, stage=f.stage, reason=f.reason) for f in roster.failures]
        if self.base is not None:
            index = pa.concat_tables([self.base.index, index]).unify_dictionaries()
            table = pa.concat_tables([self.base.cases, table])
            listed = {dataset.name for dataset in roster.datasets}
            others = [name not in listed for name in self.base.classes.column("dataset").to_pylist()]
            classes = pa.concat_tables([self.base.classes.filter(pa.array(others)), classes])
            old = self.base.manifest
            sources = [source for source in old.sources if source.dataset not in listed] + sources
            failures = [f for f in old.failures if f.case.split("/")[0] not in listed] + failures
        self.lock.check()
        return commit(
            self.store,
            str(self.generation),
            settings=self.settings,
            versions=Versions(prepare=PREPARE_VERSION, encode=ENCODE_VERSION),
            sources=sources,
            failures=failures,
            receipts=receipts,
            index=index,
            cases=table,
            classes=classes,
            previous=self.base.manifest if self.base else None,
        )


def write_shard_of(job: EncodeJob) -> None:
    """Encode a shard on a worker. The receipt is on disk; it does not travel."""
    encode_shard(job)


def prepared_cases(datasets: Iterable[RosterDataset], cases: Iterable[CaseFacts]) -> dict[str, PreparedCase]:
    """What encoding needs to know of each case, by case id."""
    held = cache(class_table_of(datasets).of_masks)
    return {
        facts.case: PreparedCase(
            group=facts.group,
            shape=facts.shape,
            renditions={name: held(facts.dataset, name) for name in facts.renditions},
        )
        for facts in cases
    }


def _source(dataset: RosterDataset) -> SourceEntry:
    return SourceEntry(
        dataset=dataset.name,
        licence=dataset.licence,
        citation=dataset.citation,
        url=dataset.url,
        catalog_sha256=dataset.catalog_sha256,
    )


def _nothing(roster: Roster) -> str:
    if not roster.failures:
        return "there is no case to build"
    first = roster.failures[0]
    return f"all {len(roster.failures)} cases failed, the first {first.case}: {first.reason}"
