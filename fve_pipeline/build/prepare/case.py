"""Stage 1: one case -> its own group in the prepared store, uint8, LPS, native resolution.

A case with bad data fails alone, with its reason on record. What is the machine's fault is raised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fve_pipeline.build.prepare.facts import CaseFacts, Failure
from fve_pipeline.build.prepare.job import (
    PrepareJob,
    fingerprint,
    image_files,
    label_hashes,
    recipe,
    source_names,
    source_stats,
)
from fve_pipeline.build.prepare.labels import case_labels
from fve_pipeline.build.prepare.veil import hidden_facts, hidden_text
from fve_pipeline.catalog.case import Rendition
from fve_pipeline.errors import FveError, GeometryError, ReadError
from fve_pipeline.files.open import open_files
from fve_pipeline.imaging.intensity import Conversion, lost_below_zero, plan_uint8
from fve_pipeline.imaging.slabs import plain_slabs
from fve_pipeline.imaging.statistics import ImageFacts
from fve_pipeline.imaging.windows import parse_window, wants_suv
from fve_pipeline.runtime.faults import is_environment_fault
from fve_pipeline.runtime.text import printable
from fve_pipeline.store.volume import INNER_CHUNK, write_slabs
from fve_pipeline.volume import Header, Volume, hash_files
from fve_pipeline.volume.labels import check_sizes
from fve_pipeline.volume.read import view_image

__all__ = ["failed", "prepare_case", "read_rendition"]


def prepare_case(job: PrepareJob) -> CaseFacts | Failure:
    """Read, check, orient, window and write one case; return its facts, or why it failed."""
    try:
        facts = _prepare(job)
        return facts if job.salt is None else hidden_facts(facts, source_names(job), job.salt)
    except FveError as error:
        reason = str(error)
    except Exception as error:
        if is_environment_fault(error):
            raise
        reason = f"{type(error).__name__}: {error}"
    return failed(job, reason)


def failed(job: PrepareJob, reason: str) -> Failure:
    """Return the record of a case that cannot be prepared; it names no folder of this machine, and nothing hidden."""
    reason = printable(reason.replace(f"{job.root.rstrip('/')}/", ""))
    if job.salt is not None:
        reason = hidden_text(reason, source_names(job), job.salt)
    return Failure(case=job.case.id, dataset=job.case.dataset, stage="prepare", reason=reason)


def _prepare(job: PrepareJob) -> CaseFacts:
    case, root = job.case, Path(job.root)
    for path in (case.image, *(label.path for label in case.label_files)):
        if printable(path) != path:
            msg = f"{path}: a file name with control characters, or bytes that are no UTF-8; expected text. Rename it."
            raise ReadError(msg)
    stats = source_stats(job)
    made = fingerprint(job)
    group = f"{case.dataset}/{hashlib.sha256(case.id.encode()).hexdigest()[:16]}-{made[:8]}"
    files = open_files(Path(job.work) / "prepared")
    files.delete_tree(group)  # what a killed task left half-written

    geometry: Header | None = None
    source: tuple[str, int | None, bool] | None = None
    volume: Volume | None = None
    pixels = hashlib.sha256()
    decisions: list[str] = []
    notes: list[str] = []
    quantiles: tuple[float, ...] = ()
    energy = 0.0
    for rendition in case.renditions:
        wanted = (
            rendition.image or case.image,
            rendition.channel,
            wants_suv(rendition.window),
        )
        if volume is None or wanted != source:
            volume = None  # let the last one go before the next is read
            if geometry is None:
                check_sizes(case.labels, root, wanted[0], case.member)
            volume = read_rendition(job, rendition)
            source = wanted
            notes.extend(note for note in volume.notes if note not in notes)
        geometry = _same_grid(geometry, volume, wanted[0])
        window = parse_window(rendition.window) if rendition.window is not None else None
        convert = plan_uint8(
            volume.array,
            modality=case.modality,
            rule=job.settings.rule,
            window=window,
            percentiles_over=job.settings.percentiles_over,
            scaled=case.scaled,
            device=job.device,
        )
        decisions.append(f"{rendition.name}: {convert.decision}")
        if lost := lost_below_zero(volume.array, convert.decision):
            notes.append(f"{rendition.name}: {lost}")
        pixels.update(repr((volume.shape, volume.spacing)).encode())
        facts = ImageFacts()
        slabs = _image_slabs(volume.array, convert, pixels, facts)
        write_slabs(files, f"{group}/{rendition.name}", volume.shape, np.dtype(np.uint8), slabs)
        if not quantiles:
            quantiles, energy = facts.quantiles, facts.gradient_energy
    if geometry is None:
        msg = f"{case.id}: the catalog gives it no rendition; give the dataset at least one window or channel"
        raise ReadError(msg)
    modality = volume.modality if volume is not None and volume.modality else case.modality
    if modality != case.modality:
        notes.append(f"the file says modality {modality}, the catalog {case.modality}: the catalog's is used")
    volume = None

    write = partial(write_slabs, files, f"{group}/labels", geometry.shape, np.dtype(job.mask_dtype))
    labels = case_labels(job, geometry, write)
    notes.extend(note for note in labels.notes if note not in notes)
    if job.errata:
        notes.append(job.errata)
    return CaseFacts(
        case=case.id,
        dataset=case.dataset,
        subject=case.subject,
        modality=case.modality,
        split=case.split,
        fingerprint=made,
        group=group,
        source=case.image,
        source_sha256=hash_files(image_files(case, root)),
        source_bytes=sum(stat.size for stat in stats),
        labels=(
            *(label.path for label in case.label_files),
            *dict.fromkeys(one.table for one in case.findings),
        ),
        labels_sha256=label_hashes(case, root),
        stats=stats,
        shape=_int_triple(geometry.shape),
        spacing=geometry.spacing,
        affine=tuple(_row(row) for row in geometry.affine),
        orientation=geometry.orientation,
        renditions=tuple(rendition.name for rendition in case.renditions),
        classes=labels.classes,
        pixels_sha256=pixels.hexdigest(),
        quantiles=quantiles,
        gradient_energy=round(energy, 4),
        resampled_labels=labels.resampled,
        decision="; ".join(decisions),
        notes=tuple(notes),
        recipe=recipe(job),
        first_combination=job.overlaps.first if job.overlaps and labels.combinations else 0,
        combinations=labels.combinations,
        findings=labels.findings,
    )


def _image_slabs(
    image: npt.NDArray[Any], convert: Conversion, pixels: Any, facts: ImageFacts
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the image as uint8, slab by slab; each is hashed and looked at while it is in the cache."""
    for slab in plain_slabs(image, INNER_CHUNK[0], convert):
        pixels.update(slab.data)
        facts.add(slab)
        yield slab


def read_rendition(job: PrepareJob, rendition: Rendition) -> Volume:
    """The source of one rendition, read as the job says."""
    case = job.case
    path = rendition.image or case.image
    return view_image(
        Path(job.root) / path,
        series=case.series,
        channel=rendition.channel,
        modality=case.modality,
        member=case.member,
        nonfinite=job.settings.nonfinite,
        resample_tilt=job.settings.resample_tilt,
        suv=wants_suv(rendition.window),
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


def _row(row: Iterable[float]) -> tuple[float, float, float, float]:
    a, b, c, d = (float(value) for value in row)
    return a, b, c, d


def _int_triple(shape: Iterable[int]) -> tuple[int, int, int]:
    z, y, x = (int(n) for n in shape)
    return z, y, x
