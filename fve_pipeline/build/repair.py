"""Damaged files of a committed store made again, and put in place when they are what was committed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fve_pipeline.build.again import prepare_again
from fve_pipeline.build.encode.plan import Segment, ShardPlan
from fve_pipeline.build.encode.shard import EncodeJob, encode_shard, predicted_bytes
from fve_pipeline.build.mend import mend_documents, mend_tables
from fve_pipeline.build.transaction import ShardWork, transaction, working_in
from fve_pipeline.errors import BuildError
from fve_pipeline.files.open import open_files
from fve_pipeline.imaging.views import VIEWS
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.layout import MANIFEST
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.runs import Runs
from fve_pipeline.store.schema import ShardEntry
from fve_pipeline.store.stage import ShardTarget
from fve_pipeline.store.verify import Finding, verify

__all__ = ["RepairSummary", "repair_store", "shard_of_index"]


@dataclass(frozen=True, slots=True)
class RepairSummary:
    """Files made again that are no shard's, shards that were built again, and what is still wrong with the store."""

    mended: tuple[str, ...]
    repaired: tuple[int, ...]
    left: tuple[Finding, ...]


def repair_store(out: str, roots: Mapping[str, Path], work: Path, resources: Resources) -> RepairSummary:
    """Verify the store ``out`` and make what is damaged again, and only that: metadata, tables, shards.

    Cases come from ``work`` where they are still prepared, else from the sources under ``roots``, a folder a
    dataset ("" for all the others). A file is put in place when it is byte for byte what was committed. What cannot
    be mended is left and told, with the reason.

    Raises StoreError when there is no store, StoreFormatError when its manifest cannot be read or a shard comes out
    with other bytes, BuildError when a shard's source is missing.
    """
    open_store(out)  # refuse before leaving a lock where there is no store
    with contextlib.ExitStack() as held:
        transacted = held.enter_context(transaction(out, resources))
        store = open_store(out)
        findings = verify(store)
        try:
            mended = mend_documents(transacted, store)
        except BuildError as error:
            return RepairSummary((), (), (Finding(MANIFEST, str(error)), *findings))
        tables = [
            name
            for name, entry in store.manifest.tables.items()
            if entry.file.key in {one.file for one in findings}
        ]
        shards = sorted({found.shard for found in findings if found.shard is not None})
        if tables or shards:
            held.enter_context(working_in(work))
        made, reasons = mend_tables(transacted, store, tables, roots, work, resources)
        if reasons:
            shards = []  # which rows they hold is in the tables
        transacted.restore(_work(open_store(out), shards, roots, work, resources) if shards else None)
        left = [
            replace(one, problem=f"{one.problem}; not made again: {reasons[one.file]}")
            if one.file in reasons
            else one
            for one in verify(open_store(out))
        ]
        return RepairSummary((*mended, *made), tuple(shards), tuple(left))


def _work(
    store: Store, shards: Sequence[int], roots: Mapping[str, Path], work: Path, resources: Resources
) -> ShardWork:
    entries = store.manifest.shards
    plans = {shard: shard_of_index(store, entries[shard]) for shard in shards}
    needed = dict.fromkeys(segment.case for plan in plans.values() for segment in plan.segments)
    cases = prepare_again(store, list(needed), roots, work, resources)
    prepared = open_files(work / "prepared")

    def job(target: ShardTarget) -> tuple[EncodeJob, int]:
        plan = plans[target.shard]
        own = {segment.case: cases[segment.case] for segment in plan.segments}
        made = EncodeJob(target, prepared, plan, own, resources.device)
        return made, predicted_bytes(made)

    rows = sum(plan.n_rows for plan in plans.values())
    return ShardWork("encode", rows, dict.fromkeys(shards, store.manifest.content_id), job, encode_shard)


def shard_of_index(store: Store, entry: ShardEntry) -> ShardPlan:
    """The plan of a committed shard, read back from the index."""
    first = entry.shard * store.settings.shard_samples
    rows = store.index.slice(first, entry.n_rows)
    shapes = {row["case"]: row["shape"] for row in store.cases.select(["case", "shape"]).to_pylist()}
    segments = []
    for run in Runs.of(rows):
        case, rendition, view, start = (
            rows.column(name)[run.start].as_py() for name in ("case", "rendition", "view", "slice")
        )
        length = shapes[case][VIEWS.index(view)]
        segments.append(Segment(case, rendition, view, length, start, start + len(run)))
    return ShardPlan(entry.shard, first, entry.n_rows, 0, tuple(segments))
