"""A case's labels as they are stored: combined where they overlap, then slab by slab checked, counted, handed on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fve_kernels.cpu_statistics import LabelStatistics, add_labels, no_labels
from fve_pipeline.build.prepare.combine import combine, with_combinations
from fve_pipeline.build.prepare.facts import FindingFacts
from fve_pipeline.build.prepare.job import PrepareJob
from fve_pipeline.errors import ReadError
from fve_pipeline.imaging.slabs import plain_slabs
from fve_pipeline.imaging.statistics import ClassFacts, class_facts
from fve_pipeline.store.volume import INNER_CHUNK
from fve_pipeline.volume import Header, Volume, read_labels
from fve_pipeline.volume.labels import view_labels
from fve_pipeline.volume.overlay import voxels_of_labels

__all__ = ["CaseLabels", "case_labels", "relabelled"]


@dataclass(frozen=True, slots=True)
class CaseLabels:
    """What was found out about a case's labels."""

    classes: tuple[ClassFacts, ...]
    combinations: tuple[tuple[int, ...], ...]
    findings: tuple[FindingFacts, ...]
    resampled: bool
    notes: tuple[str, ...]


def case_labels(
    job: PrepareJob,
    geometry: Header | Volume,
    store: Callable[[Iterator[npt.NDArray[Any]]], object],
) -> CaseLabels:
    """Read a case's labels onto its image's grid, check their ids, number their combinations and count.

    ``store`` is given the labels as they are stored, slabs (n,y,x) in the job's dtype, each good until the next one is
    asked for, and takes them all. Raises ReadError when an id is named by no class, at the latest after the last slab.
    """
    case, overlaps = job.case, job.overlaps
    # Masks of findings are labels of their own, numbered where no label of the catalog is.
    own: dict[int, int] = {}
    files = list(case.labels)
    for place, one in enumerate(case.findings):
        if one.label is not None and overlaps is not None:
            own[place] = overlaps.first + place
            files.append(replace(one.label, value=own[place]))
    read = view_labels if overlaps is None else read_labels
    labels = read(files, Path(job.root), geometry, overlaps=overlaps is not None)
    array, classes, notes = relabelled(labels.array, job.relabel), job.classes, labels.notes
    said = tuple(
        (-1 - place, (own[place],) if place in own else one.ids) for place, one in enumerate(case.findings)
    )
    combinations: tuple[tuple[int, ...], ...] = ()
    if overlaps is not None:
        voxels = voxels_of_labels(labels)
        voxels[list(own.values())] = 0
        _refuse_unnamed(voxels, job)
        combined = combine(labels, overlaps, (*job.classes, *said))
        array, combinations = combined.array, combined.combinations
        classes = with_combinations(job.classes, overlaps.first, combinations)
        notes = (*notes, *combined.notes)
        said = with_combinations(
            tuple((member, tuple(i for i in ids if i < overlaps.first)) for member, ids in said),
            overlaps.first,
            combinations,
        )
    found = no_labels()
    store(_counted(array, found, job))
    facts = class_facts(found, classes, geometry.shape, geometry.spacing)
    findings = tuple(
        FindingFacts(
            texts=one.texts,
            ids=one.ids,
            voxels=int(found.counts[list(ids)].sum()),
            source=one.label.path if one.label else one.table,
        )
        for one, (_, ids) in zip(case.findings, said, strict=True)
    )
    empty = [place for place, one in enumerate(findings, 1) if not one.voxels]
    if empty:
        notes = (*notes, f"findings without a voxel: {', '.join(map(str, empty))}")
    return CaseLabels(facts, combinations, findings, labels.resampled, notes)


def _counted(labels: npt.NDArray[Any], found: LabelStatistics, job: PrepareJob) -> Iterator[npt.NDArray[Any]]:
    """Yield the labels slab by slab in the job's dtype; each is counted while it is in the cache."""
    first = 0
    dtype = np.uint8 if labels.dtype == np.uint8 else np.uint16
    for slab in plain_slabs(labels, INNER_CHUNK[0], dtype=dtype):
        add_labels(found, slab, first)
        first += len(slab)
        yield slab.astype(job.mask_dtype, copy=False)
    if job.overlaps is None:
        _refuse_unnamed(found.counts, job)


def relabelled(labels: npt.NDArray[Any], pairs: Collection[tuple[int, int]]) -> npt.NDArray[Any]:
    """Return the labels with each first id of the pairs replaced by the second, all at once."""
    if not pairs:
        return labels
    table = np.arange(1 << 16, dtype=np.uint16)
    for before, after in pairs:
        table[before] = after
    replaced: npt.NDArray[np.uint16] = table[labels]
    return replaced


def _refuse_unnamed(counts: npt.NDArray[np.int64], job: PrepareJob) -> None:
    """Refuse label ids that no class names; ``counts`` are the voxels of each id."""
    if job.declared is None:
        return
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


def _ranges(ids: Iterable[int]) -> str:
    """1, 2, 3, 7 -> "1-3, 7"."""
    spans: list[list[int]] = []
    for i in sorted(ids):
        if spans and i == spans[-1][1] + 1:
            spans[-1][1] = i
        else:
            spans.append([i, i])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
