"""What preparing one case takes: its job, its sources, and the names of what decides its bytes."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from fve_pipeline.build.prepare.facts import SourceStat
from fve_pipeline.build.prepare.veil import hidden_case, hidden_path, hidden_text
from fve_pipeline.catalog.case import Case
from fve_pipeline.errors import FveError, ReadError, StoreFormatError
from fve_pipeline.store.schema import StoreSettings
from fve_pipeline.volume import hash_files, read_header, source_files

__all__ = [
    "PREPARE_VERSION",
    "OverlapRule",
    "PrepareJob",
    "PrepareSettings",
    "fingerprint",
    "hash_sources",
    "image_files",
    "job_from_recipe",
    "label_hashes",
    "predicted_bytes",
    "predicted_seconds",
    "prepare_settings",
    "recipe",
    "source_names",
    "source_stats",
]

# Raised whenever the same case and settings would give other prepared bytes.
PREPARE_VERSION = 1

_LIBRARIES = 256 << 20  # bytes that a worker holds before it reads anything


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """What a build asks of this stage, the same for all its cases.

    ``rule`` and ``percentiles_over`` are :mod:`fve_pipeline.imaging.intensity`'s. ``nonfinite`` replaces NaN and infinite
    voxels, which are refused when it is None; ``resample_tilt`` straightens a tilted gantry's series, which is
    refused otherwise.
    """

    rule: str = "window"
    percentiles_over: str = "positive"
    nonfinite: float | None = None
    resample_tilt: bool = False


def prepare_settings(settings: StoreSettings) -> PrepareSettings:
    """The part of the settings that the prepare stage takes."""
    return PrepareSettings(
        rule=settings.intensity_rule,
        percentiles_over=settings.percentiles_over,
        nonfinite=settings.nonfinite,
        resample_tilt=settings.resample_tilt,
    )


@dataclass(frozen=True, slots=True)
class OverlapRule:
    """How overlapping labels are kept: combinations of classes get the values from ``first`` on, which no label has.

    ``priority`` are (label id, priority) of the labels that have one; a voxel stays with those of the highest.
    """

    first: int
    priority: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class PrepareJob:
    """All that a worker needs to prepare one case.

    ``classes`` are (class id, label ids that make it up); ``declared`` are the label ids that the catalog
    names, or None where any id may occur (instances, or ``ignore = "rest"``); ``mask_dtype`` follows from the catalog.
    ``device`` windows on ``cpu`` or ``cuda``, to the same bytes. With a ``salt``, what is recorded of the case names
    none of its paths; its name and subject are hashes already. With ``overlaps`` no label hides another; without, a
    later label file wins, as in all that was built before labels could overlap. ``relabel`` gives label ids others, all at
    once, and ``errata`` is what is to be noted of a case whose labels are corrected.
    """

    case: Case
    root: str
    work: str
    settings: PrepareSettings
    classes: tuple[tuple[int, tuple[int, ...]], ...]
    declared: tuple[int, ...] | None
    mask_dtype: str
    device: str = "cpu"
    salt: str | None = None
    overlaps: OverlapRule | None = None
    relabel: tuple[tuple[int, int], ...] = ()
    errata: str = ""


def fingerprint(job: PrepareJob) -> str:
    """Names everything but the sources' bytes that decides the prepared data; paths of the machine excluded."""
    described = _described(job) | {"root": None, "work": None, "device": None, "version": PREPARE_VERSION}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def recipe(job: PrepareJob) -> str:
    """The job as JSON without paths of this machine: with it, a case can be prepared again from its sources."""
    if job.salt is not None:
        errata = hidden_text(job.errata, source_names(job), job.salt)
        job = replace(job, case=hidden_case(job.case, job.salt), salt=None, errata=errata)
    return json.dumps(_described(job) | {"root": "", "work": "", "device": "cpu"}, sort_keys=True)


def _described(job: PrepareJob) -> dict[str, Any]:
    """The job as data; what most jobs do not have is left out, so that their names stay what they were."""
    described = asdict(job)
    if job.case.member is None:
        del described["case"]["member"]
    for label in described["case"]["labels"]:
        for name in ("values", "structures", "threshold", "lack"):
            if label[name] is None:
                del label[name]
    if not job.case.findings:
        del described["case"]["findings"]
    if job.salt is None:
        del described["salt"]
    if job.overlaps is None:
        del described["overlaps"]
    if not job.errata:
        del described["relabel"], described["errata"]
    return described


def job_from_recipe(text: str, root: Path, work: Path) -> PrepareJob:
    """The job of a recorded recipe, its sources under ``root``.

    Raises StoreFormatError for a recipe that this version cannot read.
    """
    try:
        job = TypeAdapter(PrepareJob).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        msg = (
            f"cases.parquet: a case's recipe is not as this version writes it ({'.'.join(map(str, first['loc']))}: "
            f"{first['msg']}); build the store again"
        )
        raise StoreFormatError(msg) from error
    return replace(job, root=str(root), work=str(work))


def predicted_bytes(job: PrepareJob) -> int:
    """Peak memory of preparing a case, from headers alone; an unreadable header costs nothing, since the
    case then fails before any voxel is read."""
    case = job.case
    try:
        header = read_header(
            Path(job.root) / case.image, series=case.series, member=case.member, name=case.image
        )
    except FveError:
        return 0
    voxels = int(np.prod(header.shape))
    # The file's bytes and their oriented copy, uint8 renditions one at a time, labels and their mask.
    return 2 * header.nbytes + voxels * (1 + 2 + 2) + _LIBRARIES


def predicted_seconds(nbytes: int) -> float:
    """Return roughly what preparing a case of this predicted peak takes on one core."""
    return 0.005 + max(0, nbytes - _LIBRARIES) / 600e6


def source_stats(job: PrepareJob) -> tuple[SourceStat, ...]:
    """Size and time of each source file, in a fixed order. Raises FileNotFoundError."""
    stats = []
    for path in _all_files(job.case, Path(job.root)):
        stat = path.stat()
        relative = path.relative_to(job.root).as_posix()
        stats.append(
            SourceStat(
                path=relative if job.salt is None else hidden_path(relative, job.salt),
                size=stat.st_size,
                mtime_ns=stat.st_mtime_ns,
            )
        )
    return tuple(stats)


def hash_sources(job: PrepareJob) -> tuple[str, tuple[str, ...]]:
    """sha256 of the image's files and of each label file; "" for what is not there any more."""
    root = Path(job.root)
    try:
        return hash_files(image_files(job.case, root)), label_hashes(job.case, root)
    except (FileNotFoundError, ReadError):
        return "", ()


def source_names(job: PrepareJob) -> list[str]:
    """Paths of the case's files and folders under the root, as far as they can be found."""
    case = job.case
    named = [
        case.image,
        *(one.image for one in case.renditions if one.image),
        *(one.path for one in case.label_files),
        *(one.table for one in case.findings),
    ]
    with suppress(OSError, FveError):
        named += [path.relative_to(job.root).as_posix() for path in _all_files(case, Path(job.root))]
    return named


def image_files(case: Case, root: Path) -> list[Path]:
    """All files behind a case's images, in order."""
    names = dict.fromkeys(rendition.image or case.image for rendition in case.renditions)
    return [file for name in names for file in source_files(root / name, case.series)]


def label_hashes(case: Case, root: Path) -> tuple[str, ...]:
    """sha256 of each label file, and of what the findings say, where there are any."""
    for label in case.label_files:
        if label.lack is not None:
            raise ReadError(label.lack)
    files = tuple(hash_files(source_files(root / label.path)) for label in case.label_files)
    if not case.findings:
        return files
    said = [[one.texts, one.ids] for one in case.findings]
    return (*files, hashlib.sha256(json.dumps(said).encode()).hexdigest())


def _all_files(case: Case, root: Path) -> list[Path]:
    labels = dict.fromkeys(label.path for label in case.label_files if label.lack is None)
    return [*image_files(case, root), *(file for path in labels for file in source_files(root / path))]
