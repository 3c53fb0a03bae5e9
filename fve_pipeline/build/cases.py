"""Which cases a build is about, and whether those that the store holds are still what they were."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from fve_pipeline.build.prepare.facts import CaseFacts
from fve_pipeline.build.prepare.job import (
    OverlapRule,
    PrepareJob,
    PrepareSettings,
    fingerprint,
    hash_sources,
    source_stats,
)
from fve_pipeline.build.prepare.veil import salted
from fve_pipeline.catalog import Catalog, discover, expand, require_folder
from fve_pipeline.catalog.case import Case
from fve_pipeline.errors import BuildError
from fve_pipeline.runtime.executor import Task
from fve_pipeline.runtime.resources import Resources

__all__ = [
    "Dataset",
    "datasets_of",
    "expand_datasets",
    "find_jobs",
    "hash_key",
    "is_current",
    "refuse_changed_sources",
    "require_folders",
]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A catalog and the folder that its globs start from."""

    catalog: Catalog
    root: Path


def datasets_of(catalogs: Iterable[Catalog], root: str | Path | Mapping[str, str | Path]) -> list[Dataset]:
    """Return the catalogs with their folders: one for all, or one by name ("" for those that are not named).

    Raises BuildError for a catalog without a folder.
    """
    folders = root if isinstance(root, Mapping) else {"": root}
    found = []
    for catalog in catalogs:
        folder = folders.get(catalog.name, folders.get(""))
        if folder is None:
            msg = f"catalog {catalog.name!r} has no folder: give --root DIR or --root {catalog.name}=DIR"
            raise BuildError(msg)
        found.append(Dataset(catalog, Path(folder).absolute()))
    return found


def require_folders(datasets: Iterable[Dataset]) -> None:
    """Raise CatalogError for a dataset whose folder is none, or holds no image: before anything is started."""
    for dataset in datasets:
        require_folder(dataset.catalog, dataset.root)


def expand_datasets(datasets: Iterable[Dataset]) -> list[Dataset]:
    """One entry a dataset: a family (the challenge's prompt file) becomes its datasets. Names must differ."""
    found = [
        Dataset(catalog, dataset.root)
        for dataset in datasets
        for catalog in expand(dataset.catalog, dataset.root)
    ]
    names = [dataset.catalog.name for dataset in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"two catalogs are named {', '.join(map(repr, twice))}: a dataset's name is what its cases are known by"
        raise BuildError(msg)
    return found


def find_jobs(
    datasets: Sequence[Dataset],
    work: Path,
    settings: PrepareSettings,
    *,
    only: frozenset[str] | None = None,
    salt: str | None = None,
    device: str = "cpu",
) -> list[PrepareJob]:
    """One job a case, in catalog order. ``only`` keeps the cases of a selection; with a ``salt``, subjects and
    cases are known by their salted hashes.

    Raises BuildError when the selection names cases that are not there.
    """
    jobs = [job for dataset in datasets for job in _jobs(dataset, work, settings, salt, device)]
    if only is None:
        return jobs
    found = {job.case.id for job in jobs}
    if salt is not None:  # a selection may have been made of names, or of a store that hides them
        only = frozenset(case if case in found else _hidden_id(case, salt) for case in only)
    missing = sorted(only - found)
    if missing:
        msg = (
            f"the selection names {len(missing)} cases that the catalogs do not find, such as {missing[0]!r}: it was "
            "made for other data, or --root is wrong"
        )
        raise BuildError(msg)
    return [job for job in jobs if job.case.id in only]


def hash_key(datasets: Sequence[Dataset], salt: str) -> list[dict[str, str]]:
    """Return what each case of a build under ``salt`` is called, and what it is: the way back from its hashes."""
    return [
        {
            "case": _hidden(case, salt).id,
            "subject": salted(case.subject, salt),
            "name": case.name,
            "subject_name": case.subject,
            "image": case.image,
            "labels": " ".join(label.path for label in case.labels),
        }
        for dataset in datasets
        for case in discover(dataset.catalog, dataset.root)
    ]


def _hidden_id(case: str, salt: str) -> str:
    dataset, _, name = case.partition("/")
    return f"{dataset}/{salted(name, salt)}"


def _hidden(case: Case, salt: str) -> Case:
    return replace(case, name=salted(case.name, salt), subject=salted(case.subject, salt))


def _jobs(
    dataset: Dataset, work: Path, settings: PrepareSettings, salt: str | None, device: str
) -> Iterator[PrepareJob]:
    catalog = dataset.catalog
    # Said once and shared by the jobs: a dataset may have 60,000.
    of_dataset = partial(
        PrepareJob,
        root=str(dataset.root),
        work=str(work),
        settings=replace(settings, percentiles_over=catalog.percentiles_over or settings.percentiles_over),
        classes=tuple((spec.id, spec.ids) for spec in catalog.classes),
        declared=None if catalog.any_id else tuple(sorted(catalog.declared_ids)),
        mask_dtype=catalog.mask_dtype,
        device=device,
        salt=salt,
        overlaps=_overlaps(catalog),
    )
    for case in discover(catalog, dataset.root):
        yield of_dataset(case=case if salt is None else _hidden(case, salt))


def _overlaps(catalog: Catalog) -> OverlapRule | None:
    if not catalog.overlaps:
        return None
    priority = tuple((spec.id, spec.priority) for spec in catalog.classes if spec.priority is not None)
    return OverlapRule(catalog.first_combination, priority)


def is_current(job: PrepareJob, facts: CaseFacts | None) -> bool:
    """Whether the journal's facts still hold for a case: same settings, same sizes and times of its files."""
    if facts is None or facts.fingerprint != fingerprint(job):
        return False
    try:
        return source_stats(job) == facts.stats
    except OSError:
        return False


def refuse_changed_sources(
    jobs: Sequence[PrepareJob],
    committed: Mapping[str, Mapping[str, Any]],
    journal: Mapping[str, CaseFacts],
    resources: Resources,
) -> None:
    """Raise BuildError when a case that the store holds has vanished or has other bytes than it had.

    ``committed`` maps case ids to their rows of ``cases.parquet``. Cases whose files have the sizes and times
    that the journal recorded are taken as unchanged; the others are hashed again.
    """
    by_id = {job.case.id: job for job in jobs}
    datasets = {job.case.dataset for job in jobs}
    vanished = sorted(
        case for case, row in committed.items() if row["dataset"] in datasets and case not in by_id
    )
    if vanished:
        msg = _refusal(vanished, "in the store but no longer found")
        raise BuildError(msg)
    doubtful = []
    for case, row in committed.items():
        job = by_id.get(case)
        if job is None:
            continue
        facts = journal.get(case)
        if (
            facts is None
            or not is_current(job, facts)
            or not _same(row, facts.source_sha256, facts.labels_sha256)
        ):
            doubtful.append(job)
    if not doubtful:
        return
    resources.progress.stage("check sources", len(doubtful), "cases")
    tasks = (Task(f"check {job.case.id}", (job,), 64 << 20) for job in doubtful)
    changed = []
    for task, (source, labels) in resources.executor.run(hash_sources, tasks):
        resources.progress.advance()
        job = task.args[0]
        if not _same(committed[job.case.id], source, labels):
            shown = f" ({job.case.image})" if job.salt is None else ""
            changed.append(job.case.id + shown)
    if changed:
        msg = _refusal(
            sorted(changed), "not what they were when the store was built: their files have changed"
        )
        raise BuildError(msg)


def _same(row: Mapping[str, Any], source: str, labels: tuple[str, ...]) -> bool:
    return row["source_sha256"] == source and tuple(row["labels_sha256"]) == labels


def _refusal(cases: Sequence[str], what: str) -> str:
    shown = ", ".join(cases[:5]) + (f" and {len(cases) - 5} more" if len(cases) > 5 else "")
    return (
        f"{len(cases)} cases are {what}: {shown}. Take the changes over with fve update, put them back as they "
        "were, or build the whole store anew with --overwrite."
    )
