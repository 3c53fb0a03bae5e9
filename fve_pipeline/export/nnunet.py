"""nnU-Net's raw data format: one dataset folder for each of the store's, renditions as channels."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.export.flat import FlatLabels
from fve_pipeline.export.volumes import (
    StoredRun,
    empty_folder,
    primary,
    showing_all,
    stored_runs,
    unplaced,
)
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.store.class_table import ClassEntry
from fve_pipeline.store.reader import Store
from fve_pipeline.volume import write_labels

__all__ = ["export_nnunet"]


def export_nnunet(
    store: Store,
    out: Path,
    progress: Progress,
    *,
    datasets: Collection[str] = (),
    splits: Collection[str] = (),
    straight: bool = False,
    first_number: int = 501,
) -> list[str]:
    """Write ``out/nnUNet_raw/Dataset501_NAME/`` and so on: imagesTr, labelsTr, imagesTs, labelsTs, dataset.json.

    Volumes are uint8 after windowing and lie on their sources, or along the world's axes (``straight``); a case's
    renditions are its channels. Labels are numbered 1, 2, …; unions are regions, instances become one class. Cases of
    the split "test" go to imagesTs, the split "val" is the one fold of splits_final.json, which lies where nnU-Net
    looks for it: ``out/nnUNet_preprocessed/Dataset501_NAME/``. Returns what could not be kept.
    """
    empty_folder(out)
    runs = primary(list(stored_runs(store, datasets, splits, straight=straight)))
    progress.stage("write NIfTI", len(runs), "volumes")
    notes = [] if straight else unplaced(store, runs)
    for number, dataset in enumerate(dict.fromkeys(run.dataset for run in runs), start=first_number):
        classes = store.class_table.of_dataset(dataset)
        notes += [
            f"{dataset}: every {c.name} became the one class 1: nnU-Net knows no instances"
            for c in classes
            if c.instance
        ]
        named = _named(classes)
        notes += [
            f"{dataset}: {c.name} has the label of {named[c.label].name}: left out"
            for c in classes
            if c.label is not None and named[c.label] is not c
        ]
        name = f"Dataset{number:03d}_{dataset}"
        flat = FlatLabels(store.class_table, dataset)
        own = [run for run in runs if run.dataset == dataset]
        folds = _write_dataset(out / "nnUNet_raw" / name, own, classes, flat, progress)
        notes += flat.notes()
        splits_of = out / "nnUNet_preprocessed" / name
        splits_of.mkdir(parents=True)
        (splits_of / "splits_final.json").write_text(json.dumps([folds], indent=1))
    return notes


def _named(classes: Sequence[ClassEntry]) -> dict[int, ClassEntry]:
    """The first class of each label."""
    named: dict[int, ClassEntry] = {}
    for one in classes:
        if one.label is not None:
            named.setdefault(one.label, one)
    return named


def _write_dataset(
    folder: Path,
    runs: Sequence[StoredRun],
    classes: Sequence[ClassEntry],
    flat: FlatLabels,
    progress: Progress,
) -> dict[str, list[str]]:
    """The dataset in ``folder``; returns the cases of training and validation."""
    channels = list(dict.fromkeys(run.rendition for run in runs))
    named = _named(classes)
    # Labels have to be numbered without gaps, those that only a union holds as well.
    parts_of_unions = [label for c in classes if c.label is None for label in c.label_ids]
    numbers = {label: i for i, label in enumerate(dict.fromkeys([*named, *parts_of_unions]), start=1)}
    cases: dict[str, list[StoredRun]] = {}
    for run in runs:
        cases.setdefault(run.case, []).append(run)
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    folds: dict[str, list[str]] = {"train": [], "val": []}
    for own in cases.values():
        name, part = own[0].name, "Ts" if own[0].split == "test" else "Tr"
        labels: NDArray[Any] | None = None
        labelled = showing_all(own)
        for run in own:
            (folder / f"images{part}").mkdir(exist_ok=True)
            path = folder / f"images{part}" / f"{name}_{channels.index(run.rendition):04d}.nii.gz"
            write_labels(path, run.image(), run.affine)  # writes any unsigned volume
            if run in labelled:
                found = flat(run.labels())
                labels = found if labels is None else flat.merge(labels, found)
            progress.advance()
        (folder / f"labels{part}").mkdir(exist_ok=True)
        if labels is not None:
            numbered = _renumber(labels, numbers, any(c.instance for c in classes))
            write_labels(folder / f"labels{part}" / f"{name}.nii.gz", numbered, own[0].affine)
        if part == "Tr":
            folds["val" if own[0].split == "val" else "train"].append(name)
    described: dict[str, Any] = {
        "channel_names": {str(i): channel for i, channel in enumerate(channels)},
        **_labels(classes, named, numbers),
        "numTraining": sum(len(names) for names in folds.values()),
        "file_ending": ".nii.gz",
        # Ours: channels are windows of grey levels, whose names say no modality.
        "modality": _modality(runs[0]),
    }
    (folder / "dataset.json").write_text(json.dumps(described, indent=1))
    return folds


def _labels(
    classes: Sequence[ClassEntry], named: dict[int, ClassEntry], numbers: dict[int, int]
) -> dict[str, Any]:
    """``labels`` of dataset.json and, where there are unions, the order of regions.

    Regions are painted one over the other into a predicted map: larger ones first, each as its first part, so that
    the parts that are classes of their own stay visible.
    """
    single = {named[label].name: number for label, number in numbers.items() if label in named}
    regions = {c.name: sorted(numbers[label] for label in c.label_ids) for c in classes if c.label is None}
    if not regions:
        return {"labels": {"background": 0, **single}}
    ordered = dict(sorted(regions.items(), key=lambda item: -len(item[1])))
    order = [parts[0] for parts in ordered.values()] + list(single.values())
    return {"labels": {"background": 0, **ordered, **single}, "regions_class_order": order}


def _modality(run: StoredRun) -> str:
    cases = run.store.cases
    return str(cases.column("modality")[cases.column("case").to_pylist().index(run.case)].as_py())


def _renumber(labels: NDArray[Any], numbers: dict[int, int], instance: bool) -> NDArray[np.uint8]:
    """Labels as nnU-Net numbers them; every instance is 1."""
    if instance:
        return (labels > 0).astype(np.uint8)
    table = np.zeros(int(labels.max(initial=0)) + 1, np.uint8)
    for label, number in numbers.items():
        if label < len(table):
            table[label] = number
    renumbered: NDArray[np.uint8] = table[labels]
    return renumbered
