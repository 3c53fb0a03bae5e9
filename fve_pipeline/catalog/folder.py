"""A catalog guessed from a folder of images and label maps, with the numbers that the guess rests on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fve_pipeline.catalog.draft import Draft, class_entry, slug, spoken
from fve_pipeline.catalog.guess import LayoutGuess, guess_layout
from fve_pipeline.catalog.kinds import ENDINGS, FOLDER_PARTS, Kind, apart, says_label
from fve_pipeline.catalog.sampled import Sampled, classes_of, look_into, modality_of
from fve_pipeline.errors import CatalogError, ReadError
from fve_pipeline.imaging.intensity import FEW_BELOW_ZERO
from fve_pipeline.volume.dicom_header import looks_like_dicom
from fve_pipeline.volume.members import list_members

__all__ = ["from_folder", "list_volumes"]

_WITH_MEMBERS = (".npz", ".h5", ".hdf5")
Members = tuple[str | None, str | None]  # the array of the image, and that of the label map


def from_folder(
    folder: Path,
    *,
    name: str | None = None,
    modality: str | None = None,
    instances: bool | None = None,
    sample: int = 20,
) -> Draft:
    """Draft a catalog of whatever lies in ``folder``: pairs by their paths, ids and modality by ``sample`` cases.

    The draft's notes say what was found, with numbers. Classes that no file name names are called
    ``label 1`` and so on, to be edited. ``instances`` says what ids are, where they are many.

    Raises
    ------
    CatalogError
        When no volume is found, or nothing that pairs images with label maps; when the cases are of several
        modalities; when ids may be classes or instances and ``instances`` does not say which.
    """
    volumes = list_volumes(folder)
    if not volumes:
        msg = f"{folder}: no volumes; looked for {', '.join(ENDINGS[:-1])} and folders of DICOM files"
        raise CatalogError(msg)
    guess = guess_layout(volumes) or _in_one_file(volumes, folder)
    if guess is None:
        msg = (
            f"{folder}: {len(volumes)} volumes such as {volumes[0]}, but no label maps that go with them by name. "
            "Write the catalog by hand; `fve catalogs show demo_ct` is an example."
        )
        raise CatalogError(msg)
    called = slug(name or folder.resolve().name)
    members = _members(guess, folder)
    looks, notes = _sample(folder, guess, members, sample, len(volumes))
    if modality is None:
        chosen, said = modality_of(folder, looks, guess.images[0].pattern)
    else:
        chosen, said = modality, f"Modality {modality} as given."
    data: dict[str, Any] = {"name": called, "modality": chosen, "licence": "unknown", "citation": "unknown"}
    below = max(look.below_zero for look in looks)
    notes.append(said)
    if guess.labels[0].pattern == "{image}" and members == ("imgs", "gts"):
        data["scaled"] = True
    elif chosen == "CT":
        data["window"] = "soft_tissue"
    elif below > FEW_BELOW_ZERO:
        data["percentiles_over"] = "all"
        notes.append(
            f"Up to {below:.0%} of an image's voxels other than 0 lie below 0: percentiles over all of them."
        )
    data["layout"], values = _layout(guess, members, called)
    if values:
        data["classes"] = [
            class_entry(at, spoken(value), file=value) for at, value in enumerate(values, start=1)
        ]
        counted = ", ".join(
            f"{value} {len(kind.files)}" for value, kind in zip(values, guess.labels, strict=True)
        )
        notes.append(f"One file a class, with the number of cases that have it: {counted}.")
    else:
        data["classes"], counts = classes_of(folder, looks, len(guess.matched), chosen, instances)
        notes += counts
    if len(guess.images) > 1:
        data["renditions"] = _renditions(guess.images, chosen)
        listed = ", ".join(
            f"{one['name']} {len(kind.files)}"
            for one, kind in zip(data["renditions"], guess.images, strict=True)
        )
        notes.append(f"Several images a case, with the number of cases that have each: {listed}.")
        data.pop("window", None)
    return Draft(data, (*notes, "Licence, citation and the classes' names are yours to fill in."))


def list_volumes(folder: Path) -> list[str]:
    """Volume files under ``folder``, relative, sorted; a folder with DICOM files counts as one and ends with /."""
    found = []
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        here = Path(at).relative_to(folder).as_posix()
        prefix = "" if here == "." else f"{here}/"
        if here != "." and _has_slices(Path(at), names):
            found.append(prefix)
        found += [
            prefix + name
            for name in names
            if name.lower().endswith(ENDINGS[:-1]) and not name.startswith(".")
        ]
    if not any(path.endswith("/") for path in found) and _has_slices(folder, os.listdir(folder)):
        found.append("./")  # a folder that is itself the one series
    return sorted(found)


def _has_slices(folder: Path, names: Sequence[str]) -> bool:
    return any(_is_slice(folder / name) for name in sorted(names))


def _is_slice(path: Path) -> bool:
    """Whether a file is DICOM as the reader sees it, which asks for no ending; what is no file has no slices."""
    return not path.name.lower().endswith(ENDINGS[:-1]) and path.is_file() and looks_like_dicom(path)


def _in_one_file(volumes: Sequence[str], folder: Path) -> LayoutGuess | None:
    """Files that hold image and labels in one (the challenge's npz, HDF5)."""
    endings = Counter(path[path.rindex(".") :] for path in volumes if path.endswith(_WITH_MEMBERS))
    for ending, _ in endings.most_common(1):
        files = {path.removesuffix(ending): path for path in volumes if path.endswith(ending)}
        guess = LayoutGuess((Kind(f"**/{{case}}{ending}", "", files),), (Kind("{image}", "", files),))
        if all(_members(guess, folder)):
            return guess
    return None


def _members(guess: LayoutGuess, folder: Path) -> Members:
    """The arrays of the image and of its labels, by their names in the first case whose file can be opened."""
    for case in guess.matched:
        image = guess.images[0].files[case]
        label = next(kind.files[case] for kind in guess.labels if case in kind.files)
        try:
            if image == label:
                names = _volumes_in(folder / image)
                if {"imgs", "gts"} <= set(names):
                    return "imgs", "gts"
                of_label = [one for one in names if says_label(one)]
                return (
                    _only([one for one in names if one not in of_label], image, "image"),
                    _only(of_label, label, "label map"),
                )
            return (
                _only(_volumes_in(folder / image), image, "image"),
                _only(_volumes_in(folder / label), label, "label map"),
            )
        except ReadError:
            continue
    return None, None


def _volumes_in(path: Path) -> list[str]:
    """Names of the arrays in a file that may be volumes; none in a file that holds just one without a name."""
    if not path.name.endswith(_WITH_MEMBERS):
        return []
    return [name for name, shape in list_members(path).items() if len(shape) in (2, 3, 4)]


def _only(names: Sequence[str], path: str, what: str) -> str | None:
    if len(names) > 1:
        msg = (
            f"{path}: {len(names)} arrays that may be the {what}: {', '.join(names)}. Write the catalog by hand, with "
            "image_member and label_member in [layout]"
        )
        raise CatalogError(msg)
    return names[0] if names else None


def _sample(
    folder: Path, guess: LayoutGuess, members: Members, sample: int, volumes: int
) -> tuple[list[Sampled], list[str]]:
    """What some cases hold, and notes on all of them."""
    main, label = guess.images[0], guess.labels[0]
    notes = [
        f"{volumes} volumes: {len(main.files)} images as {main.pattern}, "
        f"{sum(len(kind.files) for kind in guess.labels)} label files as {label.pattern}"
        + (f" and {len(guess.labels) - 1} more names" if len(guess.labels) > 1 else "")
        + f"; {len(guess.matched)} cases have both.",
    ]
    used = {path for kind in (*guess.images, *guess.labels) for path in kind.files.values()}
    if len(used) < volumes:
        notes.append(f"{volumes - len(used)} volumes fit neither and are left out.")
    one_map = len(guess.labels) == 1
    found = [
        look_into(folder, case, main.files[case], label.files[case] if one_map else None, members)
        for case in _spread(guess.matched, sample)
    ]
    looks = [look for look in found if not look.error]
    errors = [look.error for look in found if look.error]
    if len(errors) > len(looks):
        msg = f"{folder}: {len(errors)} of {len(found)} cases cannot be read; the first: {errors[0]}"
        raise CatalogError(msg)
    if errors:
        notes.append(f"{len(errors)} of {len(found)} cases could not be read, the first: {errors[0]}")
    return looks, notes


def _spread(cases: Sequence[str], count: int) -> list[str]:
    """At most ``count`` cases, evenly from the whole list."""
    ordered = sorted(cases)
    step = max(1, len(ordered) // count)
    return ordered[::step][:count]


def _layout(guess: LayoutGuess, members: Members, called: str) -> tuple[dict[str, Any], list[str]]:
    """Return (the catalog's [layout], what stands for {class} in each label file's name)."""
    main, labels = guess.images[0].pattern, guess.labels[0].pattern
    values: list[str] = []
    if len(guess.labels) > 1:
        found = apart(guess.labels)
        if found is None:  # _pair only takes kinds of one place
            raise AssertionError(guess.labels)
        labels, values = found
    layout: dict[str, Any] = {"images": main, "labels": labels}
    if any(case not in kind.files for kind in guess.labels for case in guess.matched):
        layout["sparse"] = True
    for key, member, default in zip(("image_member", "label_member"), members, ("imgs", "gts"), strict=True):
        if member is not None and (member != default or (member == "gts" and labels == "{image}")):
            layout[key] = member
    parts = [part for part in FOLDER_PARTS if f"{{{part}}}" in main]
    if len(parts) != 1:
        layout["case"] = "_".join(f"{{{part}}}" for part in parts) or called
    return layout, values


def _renditions(images: Sequence[Kind], modality: str) -> list[dict[str, Any]]:
    differing = apart(images)
    names = differing[1] if differing else [kind.tail.replace("{case}", "") or "image" for kind in images]
    renditions = []
    for kind, name in zip(images, names, strict=True):
        one: dict[str, Any] = {"name": slug(name)}
        if modality == "CT":
            one["window"] = "soft_tissue"
        if kind is not images[0]:
            one["image"] = kind.pattern
        renditions.append(one)
    return renditions
