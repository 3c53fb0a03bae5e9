"""What a few cases of a folder say of all of it: modality and class ids, with the numbers behind each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fve_pipeline.catalog.draft import class_entry
from fve_pipeline.catalog.kinds import split_words
from fve_pipeline.errors import CatalogError, ReadError
from fve_pipeline.imaging.intensity import share_below_zero
from fve_pipeline.volume import read_header, read_image

__all__ = ["Sampled", "classes_of", "look_into", "modality_of"]

_MANY_IDS = 30  # as many ids in one label map, nearly all from 1 up, may be instances
_MODALITY_WORDS = {
    "ct": "CT", "cta": "CT", "cect": "CT", "mr": "MR", "mri": "MR", "pet": "PET", "us": "US", "ultrasound": "US",
    "microscopy": "Microscopy", "microscope": "Microscopy",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sampled:
    """One case as it was found.

    ``modality`` is what the file says, else what its path says, else what its values show (HU), else nothing.
    ``ids`` counts the voxels of each label id of ``voxels``; None where classes have files of their own.
    """

    case: str
    modality: str = ""
    low: float = 0.0
    high: float = 0.0
    dtype: str = ""
    below_zero: float = 0.0
    voxels: int = 0
    ids: dict[int, int] | None = None
    error: str = ""


def look_into(
    folder: Path, case: str, image: str, label: str | None, members: tuple[str | None, str | None]
) -> Sampled:
    """Read an image and its label map, if it has one; what cannot be read is said in ``error``."""
    try:
        channel = 0 if read_header(folder / image, member=members[0]).channels > 1 else None
        volume = read_image(folder / image, channel=channel, member=members[0])
        ids = None
        if label is not None:
            array = read_image(folder / label, member=members[1] or "gts").array
            found, counts = np.unique(array, return_counts=True)
            ids = {int(one): int(count) for one, count in zip(found, counts, strict=True) if one != 0}
    except ReadError as error:
        return Sampled(case, error=str(error))
    low, high = float(volume.array.min()), float(volume.array.max())
    return Sampled(
        case,
        modality=volume.modality or _by_words(image) or ("CT" if low <= -500 else ""),
        low=low,
        high=high,
        dtype=str(volume.array.dtype),
        below_zero=share_below_zero(volume.array),
        voxels=volume.array.size,
        ids=ids,
    )


def _by_words(path: str) -> str:
    """Return the modality that a path names, where it names one."""
    words = split_words(path)
    # In small letters "us" and "pet" are words like any other.
    told = {_MODALITY_WORDS.get(word.lower()) for word in words if word not in ("us", "pet")} - {None}
    return str(told.pop()) if len(told) == 1 else ""


def modality_of(folder: Path, looks: Sequence[Sampled], pattern: str) -> tuple[str, str]:
    """Return (modality, how it was found).

    Raises CatalogError where the cases are of several modalities.
    """
    low, high = min(look.low for look in looks), max(look.high for look in looks)
    dtypes = ", ".join(sorted({look.dtype for look in looks}))
    said = f"intensities from {low:g} to {high:g} ({dtypes}) in {len(looks)} images"
    groups: dict[str, list[Sampled]] = {}
    for look in looks:
        groups.setdefault(look.modality, []).append(look)
    told = sorted(one for one in groups if one)
    unlike = [look for look in groups.get("", []) if look.low >= 0]
    if len(told) > 1 or (told == ["CT"] and low <= -500 and unlike):
        raise CatalogError(_mixed(folder, groups))
    if told:
        by = "its values, which look like HU" if told == ["CT"] and low <= -500 else "the files' own word"
        return told[0], f"Modality {told[0]} by {by}; {said}."
    if pattern.endswith((".tif", ".tiff", ".h5", ".hdf5")):
        return "Microscopy", f"Modality Microscopy, a guess by the kind of file; {said}."
    return "MR", f"Modality MR, a guess by what is left: {said} are no HU. Say otherwise where it is wrong."


def _mixed(folder: Path, groups: dict[str, list[Sampled]]) -> str:
    parts = [
        f"{len(looks)} {modality or 'unknown, without HU'} (such as {looks[0].case}, {looks[0].low:g} to {looks[0].high:g})"
        for modality, looks in sorted(groups.items())
    ]
    return (
        f"{folder}: the cases are of several kinds: {'; '.join(parts)}. A data set has one modality: draft each folder "
        "alone, or write one catalog a modality whose images pattern takes its files only (CT_{case}.npz). "
        "--modality says that they are all of one"
    )


def classes_of(
    folder: Path, looks: Sequence[Sampled], cases: int, modality: str, instances: bool | None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return (the classes of label maps as a catalog lists them, notes with numbers); ``cases`` are there in all.

    Raises CatalogError without any id, and where ids may be instances while ``instances`` does not say.
    """
    in_cases: Counter[int] = Counter()
    voxels: Counter[int] = Counter()
    for look in looks:
        in_cases.update((look.ids or {}).keys())
        voxels.update(look.ids or {})
    if not in_cases:
        msg = f"{folder}: no label ids in {len(looks)} label maps"
        raise CatalogError(msg)
    many = [look for look in looks if look.ids and _may_be_instances(look.ids, modality)]
    if many and instances is None:
        shown = ", ".join(f"{look.case} {len(look.ids or {})}" for look in many[:3])
        msg = (
            f"{folder}: {len(many)} of {len(looks)} label maps have so many ids ({shown}) that they may be instances of "
            "one class (cells, lesions) or classes. Say --instances or --classes"
        )
        raise CatalogError(msg)
    if instances:
        note = f"Ids are instances of one class, as given: up to {max(in_cases)} in a case."
        return [{**class_entry(1, "object"), "instance": True}], [note]
    total = sum(look.voxels for look in looks)
    said = ", ".join(
        f"{label} ({in_cases[label]} cases, {voxels[label] / total:.2%})" for label in sorted(in_cases)
    )
    note = f"Label ids in {len(looks)} of {cases} cases, with their share of voxels: {said}."
    return [class_entry(label, f"label {label}") for label in sorted(in_cases)], [note]


def _may_be_instances(ids: Mapping[int, int], modality: str) -> bool:
    gapless = max(ids) >= _MANY_IDS and len(ids) > 0.9 * max(ids)
    scattered = max(ids) > 5 * len(ids)  # classes of a list have few gaps, tracked cells in a crop have many
    return gapless or (len(ids) > 10 and (modality == "Microscopy" or scattered))
