"""Labels of a store as DICOM SEG or RTSTRUCT, beside the series they belong to, for an archive."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.build.prepare.job import hash_sources, job_from_recipe
from fve_pipeline.errors import ExportError, FveError
from fve_pipeline.export.volumes import StoredRun, empty_folder, primary, showing_all, stored_runs
from fve_pipeline.runtime.faults import is_environment_fault
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.store.class_table import ClassEntry
from fve_pipeline.store.reader import Store
from fve_pipeline.volume.dicom_source import source_series
from fve_pipeline.volume.write import in_source_order
from fve_pipeline.volume.write_rtstruct import write_structures
from fve_pipeline.volume.write_seg import write_segmentation

__all__ = ["export_archive"]


def export_archive(
    store: Store,
    out: Path,
    progress: Progress,
    *,
    form: str,
    roots: Mapping[str, Path],
    datasets: Collection[str] = (),
    splits: Collection[str] = (),
) -> list[str]:
    """Write ``out/DATASET/CASE.seg.dcm`` (``form`` seg) or ``CASE.rtstruct.dcm``, a file a case.

    Those of cases whose DICOM series lies below its root, as it was when the store was built.
    ``roots`` gives each dataset's folder, "" any. A segment or structure is a class of the case's own label, or an
    instance; unions are their parts. Classes that overlap do so there. Returns what was left out, and why.

    Raises ExportError when no case could be written.
    """
    empty_folder(out)
    runs = primary(list(stored_runs(store, datasets, splits)))
    progress.stage(f"write {form}", len(runs), "volumes")
    recipes = dict(zip(*(store.cases.column(n).to_pylist() for n in ("case", "recipe")), strict=True))
    notes: list[str] = []
    written = 0
    for case, group in groupby(runs, key=lambda run: run.case):
        own = list(group)
        path = out / own[0].dataset / f"{own[0].name}.{form}.dcm"
        root = roots.get(own[0].dataset, roots.get("", Path()))
        try:
            _write(path, own, form, recipes[case], root)
            written += 1
        except (FveError, OSError) as error:
            if is_environment_fault(error):
                raise
            notes.append(f"{case}: left out: {error}")
        progress.advance(len(own))
    if not written:
        said = f": {notes[0]}" if notes else ""
        msg = f"no case of {len(notes)} was written{said}"
        raise ExportError(msg)
    return notes


def _write(path: Path, runs: Sequence[StoredRun], form: str, recipe: str, root: Path) -> None:
    job = job_from_recipe(recipe, root, Path())
    image = root / job.case.image
    source = source_series(image, job.case.series)
    row = next(one for one in runs[0].store.cases.to_pylist() if one["case"] == runs[0].case)
    if (found := hash_sources(job)[0]) != row["source_sha256"]:
        then = row["source_sha256"][:8]
        msg = f"{job.case.image}: is not what the store was built from (sha256 {found[:8]}…, then {then}…)"
        raise ExportError(msg)
    named = list(_masks(runs))
    names = [name for name, _ in named]
    masks: Iterator[NDArray[Any]] = (in_source_order(mask, source.affine) for _, mask in named)
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "seg":
        write_segmentation(path, source, names, np.stack(list(masks), axis=-1), None)
    else:
        write_structures(path, source, names, masks, None)


def _masks(runs: Sequence[StoredRun]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Name and mask (z,y,x) of each class with a label of its own, from the first run that shows it, or of its instances."""
    table, dataset = runs[0].store.class_table, runs[0].dataset
    labels = {run.rendition: run.labels() for run in showing_all(runs)}
    for entry in table.of_dataset(dataset):
        shown = next((own for name, own in labels.items() if entry.shown_in(name)), None)
        if shown is None or entry.label is None:
            continue
        yield from _instances(entry, shown) if entry.instance else [(entry.name, entry.values.where(shown))]


def _instances(entry: ClassEntry, labels: NDArray[Any]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for number in np.unique(labels[labels > 0]).tolist():
        yield f"{entry.name} {number}", labels == number
