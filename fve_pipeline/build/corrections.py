"""Errata applied to the jobs of a build or an update: which case is corrected, and how."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fve_pipeline.build.cases import Dataset
from fve_pipeline.build.prepare.facts import Failure
from fve_pipeline.build.prepare.job import PrepareJob, hash_sources, source_stats
from fve_pipeline.build.prepare.journal import read_journal
from fve_pipeline.catalog import Catalog
from fve_pipeline.catalog.errata import Erratum
from fve_pipeline.errors import BuildError
from fve_pipeline.runtime.executor import Task
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.volume.label_file import LabelFile

__all__ = ["Corrected", "correct"]

_SIDE = re.compile(r"\b(left|right)\b")


@dataclass(frozen=True, slots=True)
class Corrected:
    """Jobs that are left, corrected ones among them, and the cases that errata drop, with the reasons."""

    jobs: list[PrepareJob]
    dropped: tuple[Failure, ...]


def correct(
    jobs: Sequence[PrepareJob],
    errata: Mapping[str, Erratum],
    datasets: Sequence[Dataset],
    work: Path,
    resources: Resources,
) -> Corrected:
    """Apply errata, by image, to the jobs. Images are hashed where ``work`` does not know them by size and time.

    Raises BuildError for a class that the catalog has not, a side that has no other, or ids where labels may overlap.
    """
    if not errata:
        return Corrected(list(jobs), ())
    catalogs = {dataset.catalog.name: dataset.catalog for dataset in datasets}
    hashes = _hashes(jobs, work, resources)
    left, dropped = [], []
    for job in jobs:
        image, labels = hashes[job.case.id]
        erratum = errata.get(image)
        if erratum is None or erratum.labels not in (None, *labels):
            left.append(job)
        elif erratum.drop:
            reason = f"dropped by errata: {_why(erratum)}"
            dropped.append(Failure(case=job.case.id, dataset=job.case.dataset, stage="errata", reason=reason))
        else:
            left.append(_corrected(job, erratum, catalogs[job.case.dataset]))
    return Corrected(left, tuple(dropped))


def _corrected(job: PrepareJob, erratum: Erratum, catalog: Catalog) -> PrepareJob:
    case, done = job.case, []
    if erratum.replace is not None:
        case = replace(case, labels=(LabelFile(erratum.replace),))
        done.append(f"labels from {erratum.replace}")
    ids = dict(erratum.relabel)
    if erratum.flip:
        ids |= _flipped(catalog)
    ids |= dict.fromkeys((i for name in erratum.ignore for i in _ids(catalog, name)), 0)
    if ids and job.overlaps is not None:
        msg = (
            f"{case.id}: errata relabel, flip or ignore labels of a data set whose labels may overlap, where an id is no "
            "single value: give a mended file with replace"
        )
        raise BuildError(msg)
    if ids:
        done.append("ids " + ", ".join(f"{a} -> {b}" for a, b in sorted(ids.items())))
    note = f"errata: {'; '.join(done)}: {_why(erratum)}"
    return replace(job, case=case, relabel=tuple(sorted(ids.items())), errata=note)


def _why(erratum: Erratum) -> str:
    return f"{erratum.reason} ({erratum.source})" if erratum.source else erratum.reason


def _ids(catalog: Catalog, name: str) -> tuple[int, ...]:
    for spec in catalog.classes:
        if spec.name == name:
            return spec.ids
    msg = (
        f"errata ignore the class {name!r}, which catalog {catalog.name!r} has not; it has "
        f"{', '.join(spec.name for spec in catalog.classes)}"
    )
    raise BuildError(msg)


def _flipped(catalog: Catalog) -> dict[int, int]:
    """Ids of left classes to those of right ones, and back, by the names without their sides."""
    pairs: dict[str, dict[str, int]] = {}
    for spec in catalog.classes:
        side = _SIDE.search(spec.name)
        if side is not None and len(spec.ids) == 1:
            pairs.setdefault(_SIDE.sub("*", spec.name), {})[side[1]] = spec.ids[0]
    ids: dict[int, int] = {}
    for pair in pairs.values():
        if len(pair) == 2:
            ids |= {pair["left"]: pair["right"], pair["right"]: pair["left"]}
    if not ids:
        msg = f"errata flip sides, and catalog {catalog.name!r} has no two classes that differ in left and right"
        raise BuildError(msg)
    return ids


def _hashes(
    jobs: Sequence[PrepareJob], work: Path, resources: Resources
) -> dict[str, tuple[str, tuple[str, ...]]]:
    """sha256 of the image and of each label file of every case, as the catalog finds them."""
    known = read_journal(work / "journal")
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    unknown = []
    for job in jobs:
        facts = known.get(job.case.id)
        try:
            # A case that was corrected has other label files on record, and is hashed once more.
            same = facts is not None and not facts.corrected and source_stats(job) == facts.stats
        except OSError:
            same = False
        if same and facts is not None:
            found[job.case.id] = facts.source_sha256, facts.labels_sha256
        else:
            unknown.append(job)
    resources.progress.stage("hash sources", len(unknown), "cases")
    tasks = (Task(f"hash {job.case.id}", (job,), 64 << 20) for job in unknown)
    for task, hashes in resources.executor.run(hash_sources, tasks):
        resources.progress.advance()
        found[task.args[0].case.id] = hashes
    return found
