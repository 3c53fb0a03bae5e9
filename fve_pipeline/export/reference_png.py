"""PNG folders with a train.json: what BiomedParse's fine-tuning, and Azure's of it, read.

::

    out/DATASET/train.json  train/*.png  train_mask/*.png     and the same for val and test
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import ExportError
from fve_pipeline.export.flat import FlatLabels
from fve_pipeline.export.volumes import StoredRun, empty_folder, stored_runs
from fve_pipeline.loading.source import StoreImages
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.store.class_table import ClassEntry
from fve_pipeline.store.reader import Store

__all__ = ["class_prompts", "export_reference_png"]

_BLOCK = 16


def export_reference_png(
    store: Store,
    out: Path,
    progress: Progress,
    *,
    datasets: Collection[str] = (),
    splits: Collection[str] = (),
) -> list[str]:
    """Write every sample as a colour PNG and a mask PNG, a folder a dataset; return what could not be kept.

    OpenCV writes and reads the channels as blue, green, red: the focal slice is the file's blue, the slices
    before it green, those after it red. A reader that gives red first must turn them around.

    Masks hold label ids, as the prompts in train.json name them; a class that is a union of labels has no id of
    its own there and is left out, with a note. Instances are numbered anew in each slice.
    """
    empty_folder(out)
    runs = list(stored_runs(store, datasets, splits))
    progress.stage("write PNG", sum(len(run.rows) for run in runs), "samples")
    source, notes = StoreImages(store), []
    for dataset in dict.fromkeys(run.dataset for run in runs):
        classes = store.class_table.of_dataset(dataset)
        prompts, dropped = class_prompts(classes)
        notes += [f"{dataset}: no mask id of its own for {name}: left out" for name in dropped]
        flat = FlatLabels(store.class_table, dataset, "pixels")
        annotations: dict[str, list[dict[str, Any]]] = {}
        for run in (run for run in runs if run.dataset == dataset):
            found = annotations.setdefault(run.split, [])
            for row, image, mask in _samples(source, run):
                found.append(_write(out / dataset, run, row, image, flat(mask), prompts))
                progress.advance()
        notes += flat.notes()
        for split, entries in annotations.items():
            document = {"class_prompts": prompts, "annotations": entries}
            (out / dataset / f"{split}.json").write_text(json.dumps(document, indent=1))
    return notes


def class_prompts(classes: Sequence[ClassEntry]) -> tuple[dict[str, Any], list[str]]:
    """The challenge's table of a dataset, id to prompts with ``instance_label``, and the classes left out."""
    kept: dict[str, Any] = {}
    for one in classes:
        if one.label is not None:  # two classes of one label share its prompts
            kept.setdefault(str(one.label), []).extend(one.prompts)
    instance = int(any(c.instance for c in classes))
    return kept | {"instance_label": instance}, [c.name for c in classes if c.label is None]


def _samples(source: StoreImages, run: StoredRun) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[Any]]]:
    for first in range(0, len(run.rows), _BLOCK):
        rows = run.rows[first : first + _BLOCK]
        images = np.empty((len(rows), source.size, source.size, 3), np.uint8)
        source.images(rows, [run.rows] * len(rows), images)
        masks = source.store.read_masks(rows[0], rows[-1] + 1)
        yield from zip(rows, images, masks, strict=True)


def _write(
    folder: Path,
    run: StoredRun,
    row: int,
    image: NDArray[np.uint8],
    mask: NDArray[Any],
    prompts: Mapping[str, Any],
) -> dict[str, Any]:
    """One sample's two files; its entry in the JSON, which names ids that have prompts."""
    instance = bool(prompts["instance_label"])
    if instance:
        _, numbered = np.unique(mask, return_inverse=True)
        mask = (numbered + (mask.min() > 0)).reshape(mask.shape)
    if mask.max() > 255:
        msg = (
            f"{run.case}, slice {row - run.rows.start}: {mask.max()} ids; a mask PNG of this format holds 255"
        )
        raise ExportError(msg)
    name = f"{run.name}_{run.rendition}_{run.view}_{row - run.rows.start:04d}.png"
    paths = {"file_name": folder / run.split / name, "mask_file": folder / f"{run.split}_mask" / name}
    for path, picture in zip(paths.values(), (image, mask.astype(np.uint8)), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        _, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        path.write_bytes(data.tobytes())
    ids = np.unique(mask[mask > 0]).tolist()
    ids = [1] if instance and ids else [number for number in ids if str(number) in prompts]
    files = {key: path.name for key, path in paths.items()}
    return {**files, "split": run.split, "class_ids": ids, "instance_label": int(instance)}
