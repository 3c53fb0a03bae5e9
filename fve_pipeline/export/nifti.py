"""Volumes and label maps as NIfTI, a folder a case, where their sources lie."""

from __future__ import annotations

import json
from collections.abc import Collection
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.export.volumes import empty_folder, primary, showing_all, stored_runs, unplaced
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

    Images are uint8 after windowing; labels have the store's mask ids, which ``classes.json`` names, so that classes
    may overlap; where no rendition shows all of overlapping classes, each has ``labels_RENDITION.nii.gz``. Both lie on
    their source, or along the world's axes (``straight``). Returns what could not be kept.
    """
    empty_folder(out)
    runs = primary(list(stored_runs(store, datasets, splits, straight=straight)))
    progress.stage("write NIfTI", len(runs), "volumes")
    for _, group in groupby(runs, key=lambda run: run.case):
        labels: NDArray[Any] | None = None
        own = list(group)
        labelled = showing_all(own)
        apart = len(labelled) > 1 and bool(store.class_table.combinations(own[0].dataset))
        for run in own:
            folder = out / run.dataset / run.name
            folder.mkdir(parents=True, exist_ok=True)
            write_labels(
                folder / f"{run.rendition}.nii.gz", run.image(), run.affine
            )  # writes any unsigned volume
            if run in labelled:
                found = run.labels()  # of the classes that its rendition is for
                labels = found if labels is None or apart else np.maximum(labels, found)
                if apart:  # what several show of overlapping classes has no one id
                    write_labels(folder / f"labels_{run.rendition}.nii.gz", found, run.affine)
            progress.advance()
        if labels is not None and not apart:
            write_labels(folder / "labels.nii.gz", labels, run.affine)
    for dataset in dict.fromkeys(run.dataset for run in runs):
        classes = store.class_table.of_dataset(dataset)
        named = [
            {"id": c.class_id, "name": c.name, "ids": list(c.ids), "instance": c.instance} for c in classes
        ]
        (out / dataset / "classes.json").write_text(json.dumps(named, indent=1))
    return [] if straight else unplaced(store, runs)
