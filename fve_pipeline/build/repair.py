"""Build parts of a committed store again from its sources: to repair damaged shards, and to check samples."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fve_pipeline.build.cases import is_current
from fve_pipeline.build.encode.plan import Segment, ShardPlan
from fve_pipeline.build.encode.shard import EncodeJob, PreparedCase, encode_shard, segment_samples
from fve_pipeline.build.encode.shard import predicted_bytes as predicted_shard_bytes
from fve_pipeline.build.encode.stage import prepared_cases
from fve_pipeline.build.prepare.case import prepare_case
from fve_pipeline.build.prepare.facts import CaseFacts, Failure
from fve_pipeline.build.prepare.job import PrepareJob, job_from_recipe, predicted_bytes
from fve_pipeline.build.prepare.journal import Journal, read_journal
from fve_pipeline.build.prepare.roster import datasets_of_store
from fve_pipeline.errors import BuildError
from fve_pipeline.files.locks import BuildLock
from fve_pipeline.files.open import open_files
from fve_pipeline.imaging.views import VIEWS
from fve_pipeline.runtime.executor import Executor, Task
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.store.commit import restore_shards
from fve_pipeline.store.reader import Store
from fve_pipeline.store.runs import Runs
from fve_pipeline.store.schema import ShardEntry

__all__ = ["SourceMismatch", "check_against_sources", "repair_shards"]

_GENERATION = "repair"


@dataclass(frozen=True, slots=True)
class SourceMismatch:
    """A sample that its source no longer gives, or gives differently."""

    row: int
    case: str
    problem: str


def repair_shards(
    store: Store,
    shards: Sequence[int],
    roots: Mapping[str, Path],
    work: Path,
    executor: Executor,
    progress: Progress,
) -> None:
    """Encode damaged shards again, from ``work`` where their cases are still prepared, else from the sources
    under ``roots`` (a folder a dataset), and put them in place when they are byte for byte what was committed.

    Raises BuildError when a source is missing, StoreFormatError when other bytes come out.
    """
    entries = {entry.shard: entry for entry in store.manifest.shards}
    plans = [shard_of_index(store, entries[shard]) for shard in shards]
    needed = dict.fromkeys(segment.case for plan in plans for segment in plan.segments)
    with BuildLock(store.files):
        cases = _prepared(store, list(needed), roots, work, executor, progress)
        progress.stage("encode", len(plans), "shards")
        jobs = [
            EncodeJob(
                store=store.files,
                prepared=open_files(work / "prepared"),
                generation=_GENERATION,
                shard=plan,
                plan_hash=store.manifest.content_id,
                settings=store.settings,
                cases={segment.case: cases[segment.case] for segment in plan.segments},
            )
            for plan in plans
        ]
        tasks = [Task(f"encode shard {job.shard.shard}", (job,), predicted_shard_bytes(job)) for job in jobs]
        made = []
        for task, receipt in executor.run(encode_shard, tasks):
            made.append((entries[task.args[0].shard.shard], receipt))
            progress.advance()
        restore_shards(store.files, made)


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


def check_against_sources(
    store: Store,
    roots: Mapping[str, Path],
    samples: int,
    seed: int,
    executor: Executor,
    progress: Progress,
) -> list[SourceMismatch]:
    """Recompute ``samples`` random rows from their sources and compare pixels and masks.

    Cases are prepared in a temporary folder, one after another where they are many.
    """
    rows = np.sort(np.random.default_rng(seed).choice(len(store), min(samples, len(store)), replace=False))
    index = store.index.select(["case", "rendition", "view", "slice"]).take(rows).to_pylist()
    mismatches: list[SourceMismatch] = []
    with tempfile.TemporaryDirectory(prefix="fve-verify-") as folder:
        work = Path(folder)
        needed = list(dict.fromkeys(row["case"] for row in index))
        try:
            cases = _prepared(store, needed, roots, work, executor, progress)
        except BuildError as error:
            return [SourceMismatch(-1, "", str(error))]
        for number, row in zip(rows, index, strict=True):
            case = cases[row["case"]]
            length = case.shape[VIEWS.index(row["view"])]
            segment = Segment(
                row["case"], row["rendition"], row["view"], length, row["slice"], row["slice"] + 1
            )
            images, _, masks = segment_samples(open_files(work / "prepared"), store.settings, segment, case)
            stored_image, stored_mask = store.sample(int(number))
            for name, made, stored in (("image", images[0], stored_image), ("mask", masks[0], stored_mask)):
                if not np.array_equal(made, stored):
                    differing = int(np.count_nonzero(made != stored))
                    problem = f"the {name} made from the source differs in {differing:,} values"
                    mismatches.append(SourceMismatch(int(number), row["case"], problem))
    return mismatches


def _prepared(
    store: Store,
    needed: Sequence[str],
    roots: Mapping[str, Path],
    work: Path,
    executor: Executor,
    progress: Progress,
) -> dict[str, PreparedCase]:
    """Prepare the cases that ``work`` does not hold; return what encoding needs to know of each."""
    rows = {row["case"]: row for row in store.cases.select(["case", "dataset", "recipe"]).to_pylist()}
    known = read_journal(work / "journal")
    facts: dict[str, CaseFacts] = {}
    missing: list[PrepareJob] = []
    for case in needed:
        root = roots.get(rows[case]["dataset"], roots.get(""))
        if root is None:
            if case not in known:
                msg = (
                    f"{case} is not prepared in {work}, and its source is needed: give --root DIR, or "
                    f"--root {rows[case]['dataset']}=DIR"
                )
                raise BuildError(msg)
            facts[case] = known[case]
            continue
        job = job_from_recipe(rows[case]["recipe"], root, work)
        if is_current(job, known.get(case)):
            facts[case] = known[case]
        else:
            missing.append(job)
    facts |= _prepare_missing(missing, work, executor, progress)
    return prepared_cases(datasets_of_store(store), facts.values())


def _prepare_missing(
    jobs: Iterable[PrepareJob], work: Path, executor: Executor, progress: Progress
) -> dict[str, CaseFacts]:
    jobs = list(jobs)
    made: dict[str, CaseFacts] = {}
    progress.stage("prepare", len(jobs), "cases")
    tasks = (Task(f"prepare {job.case.id}", (job,), predicted_bytes(job)) for job in jobs)
    with Journal(work / "journal") as journal:
        for _, result in executor.run(prepare_case, tasks):
            progress.advance()
            if isinstance(result, Failure):
                msg = f"{result.case} can no longer be prepared: {result.reason}"
                raise BuildError(msg)
            made[result.case] = result
            journal.add(result)
    return made
