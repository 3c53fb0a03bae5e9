"""What has changed at the sources of a store since it was built: cases by reason, found by their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fve_pipeline.build.cases import is_current
from fve_pipeline.build.prepare.job import PrepareJob, hash_sources, job_from_recipe, recipe
from fve_pipeline.build.prepare.journal import read_journal
from fve_pipeline.build.prepare.roster import RosterDataset
from fve_pipeline.errors import StoreFormatError
from fve_pipeline.runtime.executor import Task
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.reader import Store

__all__ = ["Changes", "classes_differ", "find_changes"]

Hashes = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Changes:
    """``cases`` are those to prepare, by the reason, of ``jobs``; ``renamed`` are new names with the old ones, and
    ``vanished`` the cases that are no longer found, those that were renamed or ``dropped`` by errata among them."""

    jobs: tuple[PrepareJob, ...]
    cases: dict[str, list[str]]
    renamed: dict[str, str]
    vanished: tuple[str, ...]
    dropped: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.jobs or self.vanished)

    def told(self) -> dict[str, list[str]]:
        """Cases by reason, in words: a renamed one by both of its names."""
        old = set(self.renamed.values())
        found = {
            reason: [f"{self.renamed[case]} -> {case}" if case in self.renamed else case for case in cases]
            for reason, cases in self.cases.items()
        }
        for reason, cases in (
            ("dropped", [case for case in self.vanished if case in self.dropped]),
            ("vanished", [case for case in self.vanished if case not in self.dropped | old]),
        ):
            if cases:
                found[reason] = cases
        return found


def find_changes(
    base: Store,
    datasets: Sequence[RosterDataset],
    jobs: Sequence[PrepareJob],
    dropped: Iterable[str],
    work: Path,
    resources: Resources,
) -> Changes:
    """Compare all cases of ``datasets``, which ``jobs`` are, with those that the store holds; ``dropped`` ones go.

    A case whose files have the sizes and times that were noted in ``work`` is taken as unchanged; the others are hashed.
    """
    columns = ["case", "dataset", "source_sha256", "labels_sha256", "recipe"]
    committed = {row["case"]: row for row in base.cases.select(columns).to_pylist()}
    by_id = {job.case.id: job for job in jobs}
    named = {dataset.name for dataset in datasets}
    vanished = [case for case, row in committed.items() if row["dataset"] in named and case not in by_id]
    other_classes = {dataset.name for dataset in datasets if classes_differ(base, dataset)}
    known = read_journal(work / "journal")
    reasons: dict[str, str] = {}
    doubtful = []
    for job in jobs:
        case = job.case.id
        row = committed.get(case)
        if row is None:
            reasons[case] = "new"
        elif job.case.dataset in other_classes:
            reasons[case] = "classes"
        elif (other := _other_recipe(row["recipe"], job)) is not None:
            reasons[case] = other
        else:
            facts = known.get(case)
            if (
                facts is None
                or not is_current(job, facts)
                or _hashes(row) != (facts.source_sha256, facts.labels_sha256)
            ):
                doubtful.append(job)
    if vanished:
        doubtful += [job for job in jobs if reasons.get(job.case.id) == "new"]
    renamed: dict[str, str] = {}
    old = {_hashes(committed[case]): case for case in vanished}
    for job, found in _hashed(doubtful, resources):
        case = job.case.id
        if case not in committed:
            if found in old and committed[old[found]]["dataset"] == job.case.dataset:
                renamed[case] = old.pop(found)
                reasons[case] = "renamed"
        elif found != _hashes(committed[case]):
            reasons[case] = _what(_hashes(committed[case]), found)
    concerned = tuple(job for job in jobs if job.case.id in reasons)
    cases: dict[str, list[str]] = {}
    for job in concerned:
        cases.setdefault(reasons[job.case.id], []).append(job.case.id)
    return Changes(concerned, cases, renamed, tuple(vanished), frozenset(dropped))


def classes_differ(base: Store, dataset: RosterDataset) -> bool:
    """Tell whether masks of the data set would be made or counted differently now: names and prompts do not matter."""
    held = base.class_table.of_dataset(dataset.name)

    def shown(entries: Sequence[object]) -> list[tuple[object, ...]]:
        names = ("class_id", "label_ids", "instance", "renditions")
        return [tuple(getattr(entry, name) for name in names) for entry in entries]

    return bool(held) and shown(held) != shown(dataset.classes)


def _other_recipe(recorded: str, job: PrepareJob) -> str | None:
    """Return why the case would be made otherwise than it was, whatever version wrote that down; None when it would not."""
    anywhere = Path()
    try:
        before = job_from_recipe(recorded, anywhere, anywhere)
    except StoreFormatError:
        return "described otherwise"
    now = job_from_recipe(recipe(job), anywhere, anywhere)
    if before == now:
        return None
    if before.errata != now.errata:
        return "corrected" if now.errata else "no longer corrected"
    if before == replace(now, case=replace(now.case, findings=before.case.findings)):
        return "findings"
    return "described otherwise"


def _hashes(row: Mapping[str, object]) -> Hashes:
    return str(row["source_sha256"]), tuple(row["labels_sha256"])  # type: ignore[arg-type]


def _hashed(jobs: Sequence[PrepareJob], resources: Resources) -> list[tuple[PrepareJob, Hashes]]:
    if not jobs:
        return []
    resources.progress.stage("check sources", len(jobs), "cases")
    found = []
    tasks = (Task(f"check {job.case.id}", (job,), 64 << 20) for job in jobs)
    for task, hashes in resources.executor.run(hash_sources, tasks):
        resources.progress.advance()
        found.append((task.args[0], hashes))
    order = {job.case.id: place for place, job in enumerate(jobs)}
    return sorted(found, key=lambda one: order[one[0].case.id])


def _what(before: Hashes, now: Hashes) -> str:
    image, labels = before[0] != now[0], before[1] != now[1]
    return "image and labels" if image and labels else "image" if image else "labels"
