"""Volumes and label maps as NIfTI, a folder a case, where their sources lie."""

from __future__ import annotations

import json
from collections.abc import Collection
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.export.volumes import empty_folder, primary, stored_runs, unplaced
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.store.reader import Store
from fve_pipeline.volume import write_labels

__all__ = ["export_nifti"]


def export_nifti(
    store: Store,
    out: Path,
    progress: Progress,
    *,
    datasets: Collection[str] = (),
    splits: Collection[str] = (),
    straight: bool = False,
) -> list[str]:
    """Write ``out/DATASET/CASE/RENDITION.nii.gz`` and ``labels.nii.gz``, and ``out/DATASET/classes.json``.

    Images are uint8 after windowing; labels have the store's mask ids, which ``classes.json`` names. Both lie on
    their source, or along the world's axes (``straight``). Returns what could not be kept.
    """
    empty_folder(out)
    runs = primary(list(stored_runs(store, datasets, splits, straight=straight)))
    progress.stage("write NIfTI", len(runs), "volumes")
    for _, own in groupby(runs, key=lambda run: run.case):
        labels: NDArray[Any] | None = None
        for run in own:
            folder = out / run.dataset / run.name
            folder.mkdir(parents=True, exist_ok=True)
            write_labels(
                folder / f"{run.rendition}.nii.gz", run.image(), run.affine
            )  # writes any unsigned volume
            found = run.labels()  # of the classes that its rendition is for
            labels = found if labels is None else np.maximum(labels, found)
            progress.advance()
        if labels is not None:
            write_labels(folder / "labels.nii.gz", labels, run.affine)
    for dataset in dict.fromkeys(run.dataset for run in runs):
        classes = store.class_table.of_dataset(dataset)
        named = [
            {"id": c.class_id, "name": c.name, "ids": list(c.ids), "instance": c.instance} for c in classes
        ]
        (out / dataset / "classes.json").write_text(json.dumps(named, indent=1))
    return [] if straight else unplaced(store, runs)
