"""Volumes and label maps as OME-Zarr 0.5, a group a case and rendition."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from fve_pipeline.export.flat import FlatLabels
from fve_pipeline.export.volumes import empty_folder, primary, stored_runs, unplaced
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.store.reader import Store
from fve_pipeline.volume.write_ome_zarr import is_straight, write_ome_zarr

__all__ = ["export_ome_zarr"]


def export_ome_zarr(
    store: Store,
    out: Path,
    progress: Progress,
    *,
    datasets: Collection[str] = (),
    splits: Collection[str] = (),
    straight: bool = False,
) -> list[str]:
    """Write ``out/DATASET/CASE_RENDITION.ome.zarr``: the windowed image, and ``labels/classes`` with the classes' names.

    Sizes are in mm; origin and anatomical directions are there for volumes that lie straight, since the format knows no
    rotation. Returns what could not be kept.
    """
    empty_folder(out)
    runs = primary(list(stored_runs(store, datasets, splits, straight=straight)))
    progress.stage("write OME-Zarr", len(runs), "volumes")
    flat = {run.dataset: FlatLabels(store.class_table, run.dataset) for run in runs}
    named = {
        dataset: {
            entry.label: entry.name
            for entry in store.class_table.of_dataset(dataset)
            if entry.label is not None and not entry.instance
        }
        for dataset in flat
    }
    for run in runs:
        (out / run.dataset).mkdir(exist_ok=True)
        path = out / run.dataset / f"{run.name}_{run.rendition}.ome.zarr"
        labels = flat[run.dataset](run.labels())
        write_ome_zarr(path, run.image(), labels, run.affine, named[run.dataset])
        progress.advance()
    notes = [] if straight else unplaced(store, runs)
    oblique = sorted({run.case for run in runs if not is_straight(run.affine)})
    if oblique:
        notes.append(
            f"{len(oblique)} cases, such as {oblique[0]}, lie obliquely, and OME-Zarr 0.5 knows no rotation: their "
            "sizes are there, and their affine as an attribute (fve)"
        )
    return [*notes, *(note for one in flat.values() for note in one.notes())]
