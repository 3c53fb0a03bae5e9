"""The first flat map: cases -> prepared store, journal and roster."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fve_pipeline.build.cases import Dataset, is_current, refuse_changed_sources
from fve_pipeline.build.prepare.case import failed, prepare_case
from fve_pipeline.build.prepare.facts import CaseFacts, Failure
from fve_pipeline.build.prepare.job import PrepareJob, predicted_bytes, predicted_seconds, prepare_settings
from fve_pipeline.build.prepare.journal import Journal, read_journal
from fve_pipeline.build.prepare.roster import Roster, describe_dataset, write_roster
from fve_pipeline.catalog.personal import personal
from fve_pipeline.errors import BuildError
from fve_pipeline.imaging.intensity import LOST
from fve_pipeline.runtime.executor import Task
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.runtime.units import format_bytes
from fve_pipeline.store.schema import StoreSettings

__all__ = ["Prepared", "prepare_cases"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """``cases`` are those to encode, in the roster's order; ``facts`` are theirs, and maybe others', by id;
    ``fresh`` of them were made now."""

    roster: Roster
    cases: Sequence[str]
    facts: Mapping[str, CaseFacts]
    fresh: int


def prepare_cases(
    datasets: Sequence[Dataset],
    jobs: Sequence[PrepareJob],
    work: Path,
    settings: StoreSettings,
    committed: Mapping[str, Mapping[str, object]],
    resources: Resources,
    dropped: Sequence[Failure] = (),
) -> Prepared:
    """Prepare what is missing and write the roster.

    ``jobs`` are all cases in catalog order; those in ``committed`` (rows of the store's ``cases.parquet``, by
    id) are checked against their sources and not prepared again. A case that fails is recorded and left out, and so are
    those that were ``dropped`` before.

    Raises BuildError when a committed case has changed or vanished, or when the machine is at fault.
    """
    journal_folder, progress = work / "journal", resources.progress
    known = read_journal(journal_folder)
    refuse_changed_sources(jobs, committed, known, resources)
    new = [job for job in jobs if job.case.id not in committed]
    missing = [job for job in new if not is_current(job, known.get(job.case.id))]
    failures: dict[str, Failure] = {}
    progress.stage("prepare", len(new), "cases")
    progress.advance(len(new) - len(missing))

    def refuse(job: PrepareJob, needed: int) -> None:
        failures[job.case.id] = _too_large(job, needed, resources.executor.memory)
        progress.advance()
        progress.note(f"{job.case.id}: {failures[job.case.id].reason}")

    with Journal(journal_folder) as journal:
        tasks = _tasks(missing, resources.executor.memory, refuse)
        for task, result in resources.executor.run(prepare_case, tasks, len(missing)):
            progress.advance()
            if isinstance(result, Failure):
                failures[result.case] = result
                progress.note(f"{result.case}: {result.reason}")
            elif isinstance(result, CaseFacts):
                known[result.case] = result
                journal.add(result)
            else:
                msg = f"{task.name} returned {type(result).__name__}, not facts"
                raise BuildError(msg)
    dark = [job.case.id for job in new if job.case.id not in failures and _lost(known[job.case.id])]
    if dark:
        progress.note(f"{len(dark)} cases lose what lies below 0: {_lost(known[dark[0]])} ({dark[0]})")
    if telling := sum(any(map(personal, _sentences(job))) for job in new):
        progress.note(
            f"sentences of {telling} cases may hold names, dates or numbers of patients, and go into the store as they are: "
            "fve catalogs check names the cases"
        )
    done = [job.case.id for job in new if job.case.id not in failures]
    roster = Roster(
        settings=asdict(prepare_settings(settings)),
        subject_salt=settings.subject_salt,
        datasets=tuple(describe_dataset(dataset.catalog) for dataset in datasets),
        cases=tuple(job.case.id for job in jobs if job.case.id not in failures),
        failures=(*dropped, *(failures[job.case.id] for job in new if job.case.id in failures)),
    )
    write_roster(work, roster)
    _sweep(work, known)
    return Prepared(roster, done, known, len(missing) - len(failures))


def _sentences(job: PrepareJob) -> Iterator[str]:
    return (text for one in job.case.findings for text in one.texts)


def _lost(facts: CaseFacts) -> str:
    return next((note for note in facts.notes if LOST in note), "")


def _sweep(work: Path, known: Mapping[str, CaseFacts]) -> None:
    """Remove groups that no facts name any more: those of settings or sources that were replaced."""
    kept = {facts.group for facts in known.values()}
    for dataset in (work / "prepared").glob("*"):
        for group in dataset.glob("*"):
            if f"{dataset.name}/{group.name}" not in kept:
                shutil.rmtree(group)


def _tasks(
    jobs: Iterable[PrepareJob], budget: int, refuse: Callable[[PrepareJob, int], None]
) -> Iterator[Task]:
    # Headers are read as tasks are admitted, not all before the first.
    for job in jobs:
        needed = predicted_bytes(job)
        if needed > budget:
            refuse(job, needed)
        else:
            yield Task(f"prepare {job.case.id}", (job,), needed, predicted_seconds(needed))


def _too_large(job: PrepareJob, needed: int, budget: int) -> Failure:
    """A case that would take the machine down, and every other case with it: a header may promise anything."""
    return failed(
        job,
        f"{job.case.image}: by its header it needs {format_bytes(needed)} of memory, and all workers may use "
        f"{format_bytes(budget)}. Correct the header, or give more --memory on a machine that has it",
    )
