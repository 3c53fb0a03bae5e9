"""Things to look at: what a careful colleague would ask about a store. Pure functions over its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fve_pipeline.coreset.arrow import fixed, ragged
from fve_pipeline.coreset.groups import duplicate_groups, siblings, subject_groups
from fve_pipeline.coreset.table import CaseTable
from fve_pipeline.imaging.intensity import LOST
from fve_pipeline.look.report.mirrored import mirrored_cases

__all__ = ["Alert", "failure_alert", "find_alerts"]

_FEW = 5
_FAR = 6.0  # robust deviations


@dataclass(frozen=True, slots=True)
class Alert:
    """``level`` is problem, check or note; ``items`` are the cases or classes it is about, each with why."""

    level: str
    title: str
    text: str
    items: tuple[str, ...]


def find_alerts(table: CaseTable) -> list[Alert]:
    """Problems first, then what to check, then notes; nothing where there is nothing."""
    found = [
        *_leaks(table),
        *_duplicates(table),
        *_few_positives(table),
        *_mirrored(table),
        *_volumes(table),
        *_intensities(table),
        *_empty(table),
        *_resampled(table),
        *_notes(table),
        *_siblings(table),
    ]
    return sorted(found, key=lambda alert: ("problem", "check", "note").index(alert.level))


def _leaks(table: CaseTable) -> list[Alert]:
    items = []
    for kind, groups in (("pixels", duplicate_groups(table)), ("subject", subject_groups(table))):
        for group in groups:
            if len({table.split[row] for row in group}) > 1:
                items.append(
                    f"{kind}: {', '.join(f'{table.ids[row]} ({table.split[row]})' for row in group)}"
                )
    text = "The same image or subject is in more than one split, so scores on held-out cases are too good."
    return _alert("problem", "Leakage between splits", text, items)


def _duplicates(table: CaseTable) -> list[Alert]:
    items = [", ".join(table.ids[row] for row in group) for group in duplicate_groups(table)]
    text = "Cases with equal prepared pixels. Each is trained on as if it were new."
    return _alert("check", "Duplicated images", text, items)


def _few_positives(table: CaseTable) -> list[Alert]:
    train = np.array([row for row, split in enumerate(table.split) if split in ("train", "")], np.int64)
    have, whole = table.take(train).positives(), table.positives()
    items = [
        f"{table.classes[number]}: {have[number]} in training, {whole[number]} in all"
        for number in np.argsort(have, kind="stable").tolist()
        if have[number] < _FEW
    ]
    text = f"Classes with fewer than {_FEW} positive training cases."
    return _alert("check", "Classes with few positives", text, items)


def _mirrored(table: CaseTable) -> list[Alert]:
    items = [f"{table.ids[row]}: {what}" for row, what in mirrored_cases(table)]
    text = (
        "Classes lie where other cases of the dataset have the other side. Image or labels may be flipped, "
        "or the patient is (situs inversus, prone)."
    )
    return _alert("check", "Labels that look mirrored", text, items)


def _volumes(table: CaseTable) -> list[Alert]:
    if not {"class_voxels", "spacing"} <= set(table.facts.column_names):
        return []
    voxel = np.prod(fixed(table.facts.column("spacing"), 3), axis=1)
    case = np.repeat(np.arange(len(table)), np.diff(table.indptr))
    voxels = ragged(table.facts, "class_voxels")[0].to_numpy(zero_copy_only=False).astype(float)
    millilitres = voxels * voxel[case] / 1000
    items = []
    for entry, far in _outliers(np.log(np.maximum(millilitres, 1e-12)), table.indices):
        row = int(case[entry])
        items.append(
            f"{table.ids[row]}: {table.classes[int(table.indices[entry])]} has {millilitres[entry]:.3g} mL, "
            f"{far:+.0f} deviations"
        )
    text = f"Volumes more than {_FAR:.0f} robust deviations from the class's median, on a log scale."
    return _alert("check", "Unusual volumes", text, items)


def _intensities(table: CaseTable) -> list[Alert]:
    if "quantiles" not in table.facts.column_names:
        return []
    flat, lengths = ragged(table.facts, "quantiles")
    if len(lengths) == 0 or lengths.min() != 7:
        return []
    values = flat.to_numpy(zero_copy_only=False).astype(float).reshape(-1, 7)
    group = table.dataset.codes.astype(np.int64)
    items = []
    for column, name in ((3, "median"), (5, "95th percentile")):
        for row, far in _outliers(values[:, column], group, smallest=4.0):
            items.append(
                f"{table.ids[row]}: {name} is {values[row, column]:.0f} of 255, {far:+.0f} deviations"
            )
    items += [f"{table.ids[row]}: nearly black" for row in np.flatnonzero(values[:, 6] < 8).tolist()]
    text = f"Grey levels more than {_FAR:.0f} robust deviations from those of the dataset."
    return _alert("check", "Unusual intensities", text, items)


def _outliers(
    values: np.ndarray[Any, Any], groups: np.ndarray[Any, Any], smallest: float = 0.1
) -> list[tuple[int, float]]:
    """(entry, robust deviations) of the far ones, for groups of eight or more; a deviation is ``smallest`` at
    least, so that equal values with one small difference raise nothing."""
    out = []
    order = np.argsort(groups, kind="stable")
    for part in np.split(order, np.cumsum(np.bincount(groups))[:-1]) if len(groups) else []:
        if len(part) < 8:
            continue
        middle = np.median(values[part])
        deviation = max(1.4826 * float(np.median(abs(values[part] - middle))), smallest)
        far = (values[part] - middle) / deviation
        out += [(int(part[i]), float(far[i])) for i in np.flatnonzero(abs(far) > _FAR)]
    return sorted(out, key=lambda item: -abs(item[1]))


def _empty(table: CaseTable) -> list[Alert]:
    items = [table.ids[row] for row in np.flatnonzero(np.diff(table.indptr) == 0).tolist()]
    return _alert("check", "Cases without any label", "Their label maps are empty.", items)


def _resampled(table: CaseTable) -> list[Alert]:
    if "resampled_labels" not in table.facts.column_names:
        return []
    moved = table.facts.column("resampled_labels").to_pylist()
    items = [case for case, yes in zip(table.ids, moved, strict=True) if yes]
    text = "Labels lay on another grid than the image and were resampled, nearest."
    return _alert("note", "Resampled labels", text, items)


def _notes(table: CaseTable) -> list[Alert]:
    if "notes" not in table.facts.column_names:
        return []
    column = table.facts.column("notes").to_pylist()
    items = [f"{case}: {note}" for case, notes in zip(table.ids, column, strict=True) for note in notes or ()]
    dark = [item for item in items if LOST in item]
    text = "Percentiles were taken of the voxels above 0, and what lies below became black."
    return [
        *_alert("check", "Values below zero", text, dark),
        *_alert(
            "note",
            "Notes of the build",
            "What was decided while reading.",
            [item for item in items if item not in dark],
        ),
    ]


def _siblings(table: CaseTable) -> list[Alert]:
    found = siblings(table)
    items = [
        f"{table.subject[group[0]]}: {', '.join(table.ids[row] for row in group)}"
        for group in subject_groups(table)
    ]
    return _alert("note", "Subjects with several cases", f"{found}.", items) if found.subjects else []


def _alert(level: str, title: str, text: str, items: Sequence[str]) -> list[Alert]:
    return [Alert(level, title, text, tuple(items))] if items else []


def failure_alert(store_failures: Sequence[Any]) -> list[Alert]:
    """The cases that the build left out."""
    items = [f"{failure.case} ({failure.stage}): {failure.reason}" for failure in store_failures]
    return _alert("problem", "Cases that could not be built", "The store is whole without them.", items)
