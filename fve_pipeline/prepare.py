"""Stage 1: one case -> its own group in the prepared store, uint8, LPS, native resolution.

A case with bad data fails alone, with its reason on record. What is the machine's fault is raised.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from fve_kernels.cpu_statistics import label_statistics
from fve_pipeline.case import Case, Rendition
from fve_pipeline.errors import FveError, GeometryError, ReadError
from fve_pipeline.execution import is_environment_fault
from fve_pipeline.facts import CaseFacts, Failure, SourceStat
from fve_pipeline.intensity import parse_window, to_uint8
from fve_pipeline.statistics import class_facts, gradient_energy, quantiles_uint8
from fve_pipeline.store.files import open_files
from fve_pipeline.store.schema import StoreSettings
from fve_pipeline.store.volume import write_volume
from fve_pipeline.volume import Header, Volume, hash_files, read_header, read_image, read_labels, source_files

__all__ = [
    "PREPARE_VERSION",
    "PrepareJob",
    "PrepareSettings",
    "checked_labels",
    "fingerprint",
    "hash_sources",
    "job_from_recipe",
    "predicted_bytes",
    "prepare_case",
    "prepare_settings",
    "recipe",
    "source_stats",
]

# Raised whenever the same case and settings would give other prepared bytes.
PREPARE_VERSION = 1


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """What a build asks of this stage, the same for all its cases.

    ``rule`` and ``percentiles_over`` are :mod:`fve_pipeline.intensity`'s. ``nonfinite`` replaces NaN and infinite
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
class PrepareJob:
    """All that a worker needs to prepare one case.

    ``classes`` are (class id, label ids that make it up); ``declared`` are the label ids that the catalog
    names, or None for instance data, where any id is an instance; ``mask_dtype`` follows from the catalog.
    ``device`` windows on ``cpu`` or ``cuda``, to the same bytes.
    """

    case: Case
    root: str
    work: str
    settings: PrepareSettings
    classes: tuple[tuple[int, tuple[int, ...]], ...]
    declared: tuple[int, ...] | None
    mask_dtype: str
    device: str = "cpu"


def fingerprint(job: PrepareJob) -> str:
    """Names everything but the sources' bytes that decides the prepared data; paths of the machine excluded."""
    described = asdict(job) | {"root": None, "work": None, "device": None, "version": PREPARE_VERSION}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def recipe(job: PrepareJob) -> str:
    """The job as JSON without paths of this machine: with it, a case can be prepared again from its sources."""
    return json.dumps(asdict(job) | {"root": "", "work": "", "device": "cpu"}, sort_keys=True)


def job_from_recipe(text: str, root: Path, work: Path) -> PrepareJob:
    """The job of a recorded recipe, its sources under ``root``."""
    job = TypeAdapter(PrepareJob).validate_json(text)
    return replace(job, root=str(root), work=str(work))


def predicted_bytes(job: PrepareJob) -> int:
    """Peak memory of preparing a case, from headers alone; an unreadable header costs nothing, since the
    case then fails before any voxel is read."""
    case = job.case
    try:
        header = read_header(Path(job.root) / case.image, series=case.series, name=case.image)
    except FveError:
        return 0
    voxels = int(np.prod(header.shape))
    # The file's bytes and their oriented copy, uint8 renditions one at a time, labels and their mask.
    return 2 * header.nbytes + voxels * (1 + 2 + 2) + (256 << 20)


def source_stats(job: PrepareJob) -> tuple[SourceStat, ...]:
    """Size and time of each source file, in a fixed order. Raises FileNotFoundError."""
    stats = []
    for path in _all_files(job.case, Path(job.root)):
        stat = path.stat()
        stats.append(
            SourceStat(
                path=path.relative_to(job.root).as_posix(), size=stat.st_size, mtime_ns=stat.st_mtime_ns
            )
        )
    return tuple(stats)


def hash_sources(job: PrepareJob) -> tuple[str, tuple[str, ...]]:
    """sha256 of the image's files and of each label file; "" for what is not there any more."""
    root = Path(job.root)
    try:
        return hash_files(_image_files(job.case, root)), _label_hashes(job.case, root)
    except (FileNotFoundError, ReadError):
        return "", ()


def prepare_case(job: PrepareJob) -> CaseFacts | Failure:
    """Read, check, orient, window and write one case; return its facts, or why it failed."""
    case = job.case
    try:
        return _prepare(job)
    except FveError as error:
        reason = str(error)
    except Exception as error:
        if is_environment_fault(error):
            raise
        reason = f"{type(error).__name__}: {error}"
    return Failure(
        case=case.id,
        dataset=case.dataset,
        stage="prepare",
        reason=reason.replace(f"{job.root.rstrip('/')}/", ""),
    )


def _prepare(job: PrepareJob) -> CaseFacts:
    case, root = job.case, Path(job.root)
    stats = source_stats(job)
    made = fingerprint(job)
    group = f"{case.dataset}/{hashlib.sha256(case.id.encode()).hexdigest()[:16]}-{made[:8]}"
    files = open_files(Path(job.work) / "prepared")

    geometry: Header | None = None
    source: tuple[str, int | None] | None = None
    volume: Volume | None = None
    pixels = hashlib.sha256()
    decisions: list[str] = []
    notes: list[str] = []
    quantiles: tuple[float, ...] = ()
    energy = 0.0
    for rendition in case.renditions:
        wanted = (rendition.image or case.image, rendition.channel)
        if volume is None or wanted != source:
            volume = None  # let the last one go before the next is read
            volume = _read(job, rendition)
            source = wanted
            notes.extend(note for note in volume.notes if note not in notes)
        geometry = _same_grid(geometry, volume, wanted[0])
        window = parse_window(rendition.window) if rendition.window is not None else None
        image, decision = to_uint8(
            volume.array,
            modality=case.modality,
            rule=job.settings.rule,
            window=window,
            percentiles_over=job.settings.percentiles_over,
            scaled=case.scaled,
            device=job.device,
        )
        decisions.append(f"{rendition.name}: {decision}")
        pixels.update(repr((image.shape, volume.spacing)).encode())
        pixels.update(np.ascontiguousarray(image).data)
        if not quantiles:
            quantiles, energy = quantiles_uint8(image), gradient_energy(image)
        write_volume(files, f"{group}/{rendition.name}", image)
        del image
    if geometry is None:
        msg = f"{case.id}: the catalog gives it no rendition; give the dataset at least one window or channel"
        raise ReadError(msg)
    modality = volume.modality if volume is not None and volume.modality else case.modality
    if modality != case.modality:
        notes.append(f"the file says modality {modality}, the catalog {case.modality}: the catalog's is used")
    volume = None

    labels = read_labels(case.labels, root, geometry)
    found = label_statistics(labels.array)
    mask = checked_labels(labels.array, found.counts, job)
    notes.extend(note for note in labels.notes if note not in notes)
    write_volume(files, f"{group}/labels", mask)
    return CaseFacts(
        case=case.id,
        dataset=case.dataset,
        subject=case.subject,
        modality=case.modality,
        split=case.split,
        fingerprint=made,
        group=group,
        source=case.image,
        source_sha256=hash_files(_image_files(case, root)),
        source_bytes=sum(stat.size for stat in stats),
        labels=tuple(label.path for label in case.labels),
        labels_sha256=_label_hashes(case, root),
        stats=stats,
        shape=_int_triple(geometry.shape),
        spacing=geometry.spacing,
        affine=tuple(_row(row) for row in geometry.affine),
        orientation=geometry.orientation,
        renditions=tuple(rendition.name for rendition in case.renditions),
        classes=class_facts(found, job.classes, geometry.shape, geometry.spacing),
        pixels_sha256=pixels.hexdigest(),
        quantiles=quantiles,
        gradient_energy=round(energy, 4),
        resampled_labels=labels.resampled,
        decision="; ".join(decisions),
        notes=tuple(notes),
        recipe=recipe(job),
    )


def _read(job: PrepareJob, rendition: Rendition) -> Volume:
    case = job.case
    path = rendition.image or case.image
    return read_image(
        Path(job.root) / path,
        series=case.series,
        channel=rendition.channel,
        modality=case.modality,
        nonfinite=job.settings.nonfinite,
        resample_tilt=job.settings.resample_tilt,
        name=path,
    )


def _same_grid(first: Header | None, volume: Volume, path: str) -> Header:
    """Renditions of one case share its labels, so they must lie on one grid."""
    if first is None:
        return volume.header
    if first.shape != volume.shape or not np.allclose(first.affine, volume.affine, atol=1e-3):
        msg = (
            f"{path}: shape {volume.shape} (z,y,x) with spacing {volume.spacing} mm differs from the first "
            f"rendition's {first.shape} with {first.spacing} mm. Renditions of one case share its labels: "
            "register them to one grid, or make them cases of their own."
        )
        raise GeometryError(msg)
    return first


def checked_labels(
    labels: npt.NDArray[np.uint16], counts: npt.NDArray[np.int64], job: PrepareJob
) -> npt.NDArray[Any]:
    """Refuse label ids that no class names; narrow to the dtype that the catalog implies.

    ``counts`` are the voxels of each id.
    """
    if job.declared is not None:
        unnamed = [int(i) for i in np.flatnonzero(counts) if i != 0 and i not in job.declared]
        if unnamed:
            found = ", ".join(f"{i} ({counts[i]:,} voxels)" for i in unnamed[:8])
            more = f" and {len(unnamed) - 8} more" if len(unnamed) > 8 else ""
            msg = (
                f"{', '.join(label.path for label in job.case.labels[:2])}: label id {found}{more} is named by no class of "
                f"catalog {job.case.dataset!r}, which declares {_ranges(job.declared)}. Add the class to the "
                "catalog, or correct the label map."
            )
            raise ReadError(msg)
    return labels.astype(job.mask_dtype, copy=False)


def _ranges(ids: Iterable[int]) -> str:
    """1, 2, 3, 7 -> "1-3, 7"."""
    spans: list[list[int]] = []
    for i in sorted(ids):
        if spans and i == spans[-1][1] + 1:
            spans[-1][1] = i
        else:
            spans.append([i, i])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def _image_files(case: Case, root: Path) -> list[Path]:
    names = dict.fromkeys(rendition.image or case.image for rendition in case.renditions)
    return [file for name in names for file in source_files(root / name, case.series)]


def _label_hashes(case: Case, root: Path) -> tuple[str, ...]:
    return tuple(hash_files(source_files(root / label.path)) for label in case.labels)


def _all_files(case: Case, root: Path) -> list[Path]:
    labels = dict.fromkeys(label.path for label in case.labels)
    return [*_image_files(case, root), *(file for path in labels for file in source_files(root / path))]


def _row(row: Iterable[float]) -> tuple[float, float, float, float]:
    a, b, c, d = (float(value) for value in row)
    return a, b, c, d


def _int_triple(shape: Iterable[int]) -> tuple[int, int, int]:
    z, y, x = (int(n) for n in shape)
    return z, y, x
