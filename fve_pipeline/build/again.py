"""Committed cases prepared again from their sources: to repair shards, and to check samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fve_pipeline.build.cases import is_current
from fve_pipeline.build.encode.numbering import number_combinations
from fve_pipeline.build.encode.shard import PreparedCase
from fve_pipeline.build.encode.stage import prepared_cases
from fve_pipeline.build.prepare.case import prepare_case
from fve_pipeline.build.prepare.facts import CaseFacts, Failure
from fve_pipeline.build.prepare.job import PrepareJob, job_from_recipe, predicted_bytes
from fve_pipeline.build.prepare.journal import Journal, read_journal
from fve_pipeline.build.prepare.roster import datasets_of_store
from fve_pipeline.errors import BuildError
from fve_pipeline.runtime.executor import Task
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.reader import Store

__all__ = ["facts_again", "prepare_again"]


def prepare_again(
    store: Store, needed: Sequence[str], roots: Mapping[str, Path], work: Path, resources: Resources
) -> dict[str, PreparedCase]:
    """Prepare the cases that ``work`` does not hold; return what encoding needs to know of each, by case id.

    Takes and raises what :func:`facts_again` does.
    """
    facts = facts_again(store, needed, roots, work, resources)
    numbering = number_combinations(
        datasets_of_store(store), facts.values(), store.settings.mask_dtype, store.findings, known_only=True
    )
    return prepared_cases(numbering, facts.values())


def facts_again(
    store: Store, needed: Sequence[str], roots: Mapping[str, Path], work: Path, resources: Resources
) -> dict[str, CaseFacts]:
    """Return the facts of the cases, which are prepared where ``work`` does not hold them.

    ``roots`` are the sources' folders by dataset, "" that of all the others. Raises BuildError when a source is
    needed and not there, or no longer what it was.
    """
    rows = {row["case"]: row for row in store.cases.select(["case", "dataset", "recipe"]).to_pylist()}
    known = read_journal(work / "journal")
    facts: dict[str, CaseFacts] = {}
    missing: list[PrepareJob] = []
    for case in needed:
        root = roots.get(rows[case]["dataset"], roots.get(""))
        if root is None or store.settings.subject_salt is not None:
            if case not in known:
                raise BuildError(_unprepared(store, case, rows[case]["dataset"], work))
            facts[case] = known[case]
            continue
        job = job_from_recipe(rows[case]["recipe"], root, work)
        if is_current(job, known.get(case)):
            facts[case] = known[case]
        else:
            missing.append(job)
    if missing:
        facts |= _prepare(missing, work, resources)
    return facts


def _unprepared(store: Store, case: str, dataset: str, work: Path) -> str:
    if store.settings.subject_salt is None:
        return f"{case} is not prepared in {work}, and its source is needed: give --root DIR, or --root {dataset}=DIR"
    return (
        f"{case} is not prepared in {work}, and the store keeps no path of its source (--hash-subjects): "
        "give the folder in which it was prepared as --work, or build anew with --overwrite"
    )


def _prepare(jobs: Sequence[PrepareJob], work: Path, resources: Resources) -> dict[str, CaseFacts]:
    made: dict[str, CaseFacts] = {}
    resources.progress.stage("prepare", len(jobs), "cases")
    tasks = (Task(f"prepare {job.case.id}", (job,), predicted_bytes(job)) for job in jobs)
    with Journal(work / "journal") as journal:
        for _, result in resources.executor.run(prepare_case, tasks):
            resources.progress.advance()
            if isinstance(result, Failure):
                msg = f"{result.case} can no longer be prepared: {result.reason}"
                raise BuildError(msg)
            made[result.case] = result
            journal.add(result)
    return made
