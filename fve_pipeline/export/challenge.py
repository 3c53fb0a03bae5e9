"""A file a case as the CVPR 2025 challenge's data come: npz with imgs, gts and spacing, and the prompt file."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from fve_pipeline.errors import ExportError
from fve_pipeline.export.flat import FlatLabels
from fve_pipeline.export.reference_png import class_prompts
from fve_pipeline.export.volumes import empty_folder, primary, stored_runs, unplaced
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.store.reader import Store
from fve_pipeline.volume.geometry import itk_place

__all__ = ["export_challenge"]


def export_challenge(
    store: Store,
    out: Path,
    progress: Progress,
    *,
    datasets: Collection[str] = (),
    splits: Collection[str] = (),
    straight: bool = False,
) -> list[str]:
    """Write ``out/SPLIT/DATASET/case.npz`` for every case and rendition, and ``out/class_prompts.json``.

    ``imgs`` and ``gts`` are (z, y, x) uint8 in the volume's own geometry, ``spacing`` is (x, y, z) in mm. Two members
    more, which the challenge's readers pass over, say where it lies, unless ``straight``: ``origin`` (x, y, z) in LPS
    mm and ``direction`` (3×3, a column an axis x, y, z), as SimpleITK takes them.
    Returns what could not be kept. Raises ExportError for a case of more than 255 instances, which uint8 would
    number wrongly.
    """
    empty_folder(out)
    runs = primary(list(stored_runs(store, datasets, splits, straight=straight)))
    progress.stage("write npz", len(runs), "volumes")
    renditions: dict[str, set[str]] = {}
    for run in runs:
        renditions.setdefault(run.dataset, set()).add(run.rendition)
    prompts: dict[str, dict[str, Any]] = {}
    notes = [] if straight else unplaced(store, runs)
    for dataset in renditions:
        prompts[dataset], dropped = class_prompts(store.class_table.of_dataset(dataset))
        notes += [f"{dataset}: no label of its own for {name}: left out" for name in dropped]
    flat = {dataset: FlatLabels(store.class_table, dataset) for dataset in renditions}
    # Looked at before anything is written; masks of uint8 cannot hold more.
    for run in runs if store.settings.mask_dtype == "uint16" else ():
        highest = FlatLabels(store.class_table, run.dataset)(run.labels()).max(initial=0)
        if highest > 255:
            msg = f"{run.case}: label id {highest}; the challenge's gts hold 255. Leave it out with --dataset"
            raise ExportError(msg)
    for run in runs:
        labels = flat[run.dataset](run.labels())
        folder = out / run.split / run.dataset
        folder.mkdir(parents=True, exist_ok=True)
        several = len(renditions[run.dataset]) > 1
        path = folder / (f"{run.name}_{run.rendition}.npz" if several else f"{run.name}.npz")
        spacing = np.array(run.spacing[::-1], float)
        place: dict[str, Any] = (
            {} if straight else dict(zip(("origin", "direction"), itk_place(run.affine), strict=True))
        )
        np.savez_compressed(path, imgs=run.image(), gts=labels.astype(np.uint8), spacing=spacing, **place)
        progress.advance()
    (out / "class_prompts.json").write_text(json.dumps(prompts, indent=1))
    return [*notes, *(note for one in flat.values() for note in one.notes())]
