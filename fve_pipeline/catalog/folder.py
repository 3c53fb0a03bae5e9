"""A catalog guessed from a folder of images and label maps, with the numbers that the guess rests on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fve_pipeline.catalog.draft import Draft, class_entry, slug, spoken
from fve_pipeline.catalog.guess import ENDINGS, FOLDER_PARTS, Kind, LayoutGuess, guess_layout
from fve_pipeline.errors import CatalogError, ReadError
from fve_pipeline.imaging.intensity import FEW_BELOW_ZERO, share_below_zero
from fve_pipeline.volume import read_header, read_image
from fve_pipeline.volume.dicom_header import looks_like_dicom

__all__ = ["from_folder", "list_volumes"]

_MANY_IDS = 30  # as many ids in one label map, nearly all from 1 up, are instances


def from_folder(
    folder: Path, *, name: str | None = None, modality: str | None = None, sample: int = 20
) -> Draft:
    """Draft a catalog of whatever lies in ``folder``: pairs by their paths, ids and modality by ``sample`` cases.

    The draft's notes say what was found, with numbers. Classes that no file name names are called
    ``label 1`` and so on, to be edited.

    Raises
    ------
    CatalogError
        When no volume is found, or nothing that pairs images with label maps.
    """
    volumes = list_volumes(folder)
    if not volumes:
        msg = f"{folder}: no volumes; looked for {', '.join(ENDINGS[:-1])} and folders of DICOM files"
        raise CatalogError(msg)
    guess = guess_layout(volumes) or _npz(volumes, folder)
    if guess is None:
        msg = (
            f"{folder}: {len(volumes)} volumes such as {volumes[0]}, but no label maps that go with them by name. "
            "Write the catalog by hand; `fve catalogs show demo_ct` is an example."
        )
        raise CatalogError(msg)
    cases = _spread(guess.matched, sample)
    notes = [
        f"{len(volumes)} volumes: {len(guess.images[0].files)} images as {guess.images[0].pattern}, "
        f"{sum(len(kind.files) for kind in guess.labels)} label files as {guess.labels[0].pattern}"
        + (f" and {len(guess.labels) - 1} more names" if len(guess.labels) > 1 else "")
        + f"; {len(guess.matched)} cases have both.",
    ]
    used = sum(len(kind.files) for kind in (*guess.images, *guess.labels))
    if used < len(volumes):
        notes.append(f"{len(volumes) - used} volumes fit neither and are left out.")
    found, said, below = _modality(folder, guess, cases[:5])
    notes.append(said if modality is None else f"Modality {modality} as given. {said}")
    chosen = modality or found
    data: dict[str, Any] = {
        "name": slug(name or folder.resolve().name),
        "modality": chosen,
        "licence": "unknown",
        "citation": "unknown",
    }
    if guess.labels[0].pattern == "{image}":
        data["scaled"] = True
    elif chosen == "CT":
        data["window"] = "soft_tissue"
    elif below > FEW_BELOW_ZERO:
        data["percentiles_over"] = "all"
        notes.append(
            f"Up to {below:.0%} of an image's voxels other than 0 lie below 0: percentiles over all of them."
        )
    data["classes"], counted = _classes(folder, guess, cases, chosen)
    notes += counted
    data["layout"] = _layout(guess)
    if len(guess.images) > 1:
        data["renditions"] = _renditions(guess.images, chosen)
        data.pop("window", None)
    return Draft(data, (*notes, "Licence, citation and the classes' names are yours to fill in."))


def list_volumes(folder: Path) -> list[str]:
    """Volume files under ``folder``, relative, sorted; a folder with DICOM files counts as one and ends with /."""
    found = []
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        here = Path(at).relative_to(folder).as_posix()
        prefix = "" if here == "." else f"{here}/"
        if here != "." and any(_is_slice(Path(at, name)) for name in sorted(names)):
            found.append(prefix)
        found += [
            prefix + name
            for name in names
            if name.lower().endswith(ENDINGS[:-1]) and not name.startswith(".")
        ]
    return sorted(found)


def _is_slice(path: Path) -> bool:
    """Whether a file is DICOM as the reader sees it, which asks for no ending; what is no file has no slices."""
    return not path.name.lower().endswith(ENDINGS[:-1]) and path.is_file() and looks_like_dicom(path)


def _npz(volumes: Sequence[str], folder: Path) -> LayoutGuess | None:
    """Challenge files, which hold image and labels in one."""
    files = {path.removesuffix(".npz"): path for path in volumes if path.endswith(".npz")}
    first = next(iter(files.values()), None)
    if first is None:
        return None
    with np.load(folder / first) as content:
        if not {"imgs", "gts"} <= set(content.files):
            return None
    return LayoutGuess((Kind("**/{case}.npz", "", files),), (Kind("{image}", "", files),))


def _spread(cases: Sequence[str], count: int) -> list[str]:
    """At most ``count`` cases, evenly from the whole list."""
    ordered = sorted(cases)
    step = max(1, len(ordered) // count)
    return ordered[::step][:count]


def _modality(folder: Path, guess: LayoutGuess, cases: Sequence[str]) -> tuple[str, str, float]:
    """(modality, how it was found, the largest share of voxels below zero)."""
    below = 0.0
    low, high, dtypes, told = np.inf, -np.inf, set(), set()
    for case in cases:
        volume = read_image(folder / guess.images[0].files[case], channel=_first_channel(folder, guess, case))
        low, high = min(low, float(volume.array.min())), max(high, float(volume.array.max()))
        dtypes.add(str(volume.array.dtype))
        below = max(below, share_below_zero(volume.array))
        if volume.modality:
            told.add(volume.modality)
    range_said = f"intensities from {low:g} to {high:g} ({', '.join(sorted(dtypes))}) in {len(cases)} images"
    if len(told) == 1:
        modality = told.pop()
        return modality, f"Modality {modality} by the files' own word; {range_said}.", below
    if guess.images[0].pattern.endswith((".tif", ".tiff")):
        return "Microscopy", f"Modality Microscopy, a guess by TIFF; {range_said}.", below
    if low <= -500:
        return "CT", f"Modality CT, a guess: {range_said} look like HU.", below
    return (
        "MR",
        f"Modality MR, a guess by what is left: {range_said} are no HU. Say otherwise where it is wrong.",
        below,
    )


def _first_channel(folder: Path, guess: LayoutGuess, case: str) -> int | None:
    return 0 if read_header(folder / guess.images[0].files[case]).channels > 1 else None


def _classes(
    folder: Path, guess: LayoutGuess, cases: Sequence[str], modality: str
) -> tuple[list[dict[str, Any]], list[str]]:
    if len(guess.labels) > 1:
        entries = [
            class_entry(at, spoken(_file_of(kind)), file=_file_of(kind))
            for at, kind in enumerate(guess.labels, start=1)
        ]
        said = ", ".join(f"{_file_of(kind)} {len(kind.files)}" for kind in guess.labels)
        return entries, [f"One file a class, with the number of cases that have it: {said}."]
    in_cases: Counter[int] = Counter()
    voxels: Counter[int] = Counter()
    total, instances = 0, 0
    unread = []
    for case in cases:
        try:
            array = read_image(folder / guess.labels[0].files[case], member="gts").array
        except ReadError as error:
            unread.append(f"{case}: {error}")
            continue
        ids, counts = np.unique(array, return_counts=True)
        total += array.size
        gapless = ids[-1] >= _MANY_IDS and ids.size - 1 > 0.9 * ids[-1]
        instances += bool(gapless or (modality == "Microscopy" and ids.size > 10))
        for label, count in zip(ids.tolist(), counts.tolist(), strict=True):
            if label != 0:
                in_cases[int(label)] += 1
                voxels[int(label)] += count
    if not in_cases:
        msg = f"{folder}: no label ids in {len(cases)} label maps" + (f"; {unread[0]}" if unread else "")
        raise CatalogError(msg)
    if instances > len(cases) / 2:
        note = f"Many ids in each case (up to {max(in_cases)}): taken for instances of one class."
        return [{**class_entry(1, "object"), "instance": True}], [note]
    said = ", ".join(
        f"{label} ({in_cases[label]} cases, {voxels[label] / total:.2%})" for label in sorted(in_cases)
    )
    notes = [
        f"Label ids in {len(cases) - len(unread)} of {len(guess.matched)} cases, with their share of voxels: {said}."
    ]
    notes += [f"{len(unread)} label maps could not be read, the first: {unread[0]}"] if unread else []
    return [class_entry(label, f"label {label}") for label in sorted(in_cases)], notes


def _file_of(kind: Kind) -> str:
    name = kind.pattern.rsplit("/", 1)[-1]
    return name.removesuffix(next(ending for ending in ENDINGS if name.endswith(ending)))


def _layout(guess: LayoutGuess) -> dict[str, Any]:
    main = guess.images[0].pattern
    labels = guess.labels[0].pattern
    if len(guess.labels) > 1:
        folder, name = labels.rsplit("/", 1)
        labels = f"{folder}/{name.replace(_file_of(guess.labels[0]), '{class}')}"
    layout: dict[str, Any] = {"images": main, "labels": labels}
    if any(case not in kind.files for kind in guess.labels for case in guess.matched):
        layout["sparse"] = True
    if labels == "{image}":
        layout["label_member"] = "gts"
    parts = [part for part in FOLDER_PARTS if f"{{{part}}}" in main]
    if len(parts) > 1:
        layout["case"] = "_".join(f"{{{part}}}" for part in parts)
    return layout


def _renditions(images: Sequence[Kind], modality: str) -> list[dict[str, Any]]:
    renditions = []
    for kind in images:
        one: dict[str, Any] = {"name": slug(kind.tail.replace("{case}", "") or "image")}
        if modality == "CT":
            one["window"] = "soft_tissue"
        if kind is not images[0]:
            one["image"] = kind.pattern
        renditions.append(one)
    return renditions
