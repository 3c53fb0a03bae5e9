"""A catalog from a folder in nnU-Net's form (v1, v2) or the Medical Segmentation Decathlon's: dataset.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fve_pipeline.catalog.draft import Draft, class_entry, slug, spoken
from fve_pipeline.errors import CatalogError

__all__ = ["from_nnunet", "modality_of"]

# What channels are called, by the beginning of the lower-case name.
_CHANNELS = {
    "CT": ("ct", "cbct"),
    "PET": ("pet", "suv", "fdg", "psma"),
    "US": ("us", "ultrasound", "echo"),
    "Microscopy": ("microscopy", "fluo", "em", "tem", "sem"),
    "MR": ("mr", "t1", "t2", "flair", "adc", "dwi", "cine", "lge", "swi", "pd", "b0", "dce", "dixon", "bold", "asl"),
}  # fmt: skip


def from_nnunet(
    folder: Path, *, modality: str | None = None, splits: Path | None = None, fold: int = 0
) -> Draft:
    """Draft a catalog of the dataset in ``folder``, which holds ``dataset.json`` and ``imagesTr``.

    Channels become renditions (files of their own, ``_0000``, or volumes of a 4D file as the Decathlon has
    them), regions become unions, ``ignore`` is honoured, and ``splits_final.json`` (in the folder, under
    nnUNet_preprocessed beside it, or as given) decides training and validation by its ``fold``.

    Raises
    ------
    CatalogError
        When dataset.json is missing or of neither form, when the images are not where it means them to be,
        or when the modality cannot be told from the channels' names and is not given.
    """
    path, about = _read(folder)
    v2 = "channel_names" in about
    channels = about["channel_names"] if v2 else about["modality"]
    names = [str(channels[key]) for key in sorted(channels, key=int)]
    ending = str(about.get("file_ending", ".nii.gz"))
    kinds = [modality_of(name) for name in names]
    told = about.get("modality") if v2 else None  # beside the channels only in what we exported
    chosen = modality or next((kind for kind in kinds if kind), told if isinstance(told, str) else None)
    if chosen is None:
        msg = f"{path}: the channels {names} name no modality; give it (--modality CT, MR, PET, US or Microscopy)"
        raise CatalogError(msg)
    notes = [f"Drafted from {path.name} of {folder.name}. Licence and citation are to be checked by you."]
    tests = (folder / "labelsTs").is_dir()
    where = "{set:Tr|Ts}" if tests else "Tr"
    filled = where.replace(":Tr|Ts", "")
    per_file = _channel_files(folder, ending)
    data: dict[str, Any] = {
        "name": slug(folder.name),
        "title": str(about.get("name", folder.name)),
        "modality": chosen,
        "licence": str(about.get("licence") or about.get("license") or "unknown"),
        "citation": str(about.get("reference") or "unknown"),
        "source": f"{folder.name}: dataset.json",
    }
    if chosen == "CT":
        data["window"] = "soft_tissue"
    data["classes"], ignore = _classes(path, about["labels"], v2)
    if ignore:
        data["ignore"] = ignore
    data["layout"] = {
        "images": f"images{where}/{{case}}{'_0000' if per_file else ''}{ending}",
        "labels": f"labels{filled}/{{case}}{ending}",
    }
    if len(names) > 1:
        renditions, left_out = _renditions(names, kinds, chosen, per_file, f"images{filled}/{{case}}", ending)
        data["renditions"] = renditions
        data.pop("window", None)
        if left_out:
            notes.append(
                f"Left out, since a catalog has one modality ({chosen}): channels {', '.join(left_out)}."
            )
    split, said = _split(folder, splits, fold, tests, ending)
    if split:
        data["split"] = split
    notes += said
    return Draft(data, tuple(notes))


def modality_of(channel: str) -> str | None:
    """The modality that a channel's name says, if it says one."""
    word = channel.lower().strip()
    return next((kind for kind, starts in _CHANNELS.items() if word.startswith(starts)), None)


def _read(folder: Path) -> tuple[Path, dict[str, Any]]:
    path = folder / "dataset.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        msg = f"{path} does not exist; expected the folder of an nnU-Net or Decathlon dataset"
        raise CatalogError(msg) from error
    except ValueError as error:
        msg = f"{path} is no JSON: {error}"
        raise CatalogError(msg) from error
    if not isinstance(about, dict) or "labels" not in about or not {"channel_names", "modality"} & set(about):
        msg = f"{path}: expected labels and channel_names (nnU-Net v2) or modality (v1, Decathlon)"
        raise CatalogError(msg)
    if "dataset" in about:
        msg = (
            f"{path}: it lists the files of each case ('dataset'), which a catalog's globs cannot say. Write a "
            "catalog of the folders that it points to."
        )
        raise CatalogError(msg)
    return path, about


def _channel_files(folder: Path, ending: str) -> bool:
    images = folder / "imagesTr"
    names = [entry.name for entry in images.iterdir()] if images.is_dir() else []
    names = [name for name in names if name.endswith(ending) and not name.startswith(".")]
    if not names:
        msg = f"{images}: no {ending} files there"
        raise CatalogError(msg)
    return all(
        name.removesuffix(ending)[-5:-4] == "_" and name.removesuffix(ending)[-4:].isdigit() for name in names
    )


def _classes(path: Path, labels: dict[str, Any], v2: bool) -> tuple[list[dict[str, Any]], list[int]]:
    pairs = [(name, ids) if v2 else (ids, int(name)) for name, ids in labels.items()]
    single: dict[int, str] = {}
    unions: list[tuple[str, list[int]]] = []
    ignore: list[int] = []
    for name, ids in pairs:
        numbers = [int(one) for one in ids] if isinstance(ids, list | tuple) else [int(ids)]
        if name.lower() == "ignore":
            ignore = numbers
        elif len(numbers) > 1:
            unions.append((name, numbers))
        elif numbers[0] != 0:
            single[numbers[0]] = name
    if not single and not unions:
        msg = f"{path}: labels name nothing but the background"
        raise CatalogError(msg)
    used = set(single) | set(ignore) | {label for _, ids in unions for label in ids}
    classes = [class_entry(number, spoken(single[number])) for number in sorted(single)]
    free = max(used) + 1
    classes += [class_entry(free + at, spoken(name), ids) for at, (name, ids) in enumerate(unions)]
    return classes, ignore


def _renditions(
    names: list[str], kinds: list[str | None], modality: str, per_file: bool, stem: str, ending: str
) -> tuple[list[dict[str, Any]], list[str]]:
    renditions: list[dict[str, Any]] = []
    left_out = []
    for at, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        if kind not in (None, modality):
            left_out.append(name)
            continue
        called = slug(name)
        if any(one["name"] == called for one in renditions):
            called = f"{called}_{at}"
        one: dict[str, Any] = {"name": called}
        if modality == "CT":
            one["window"] = "soft_tissue"
        if per_file:
            one["image"] = f"{stem}_{at:04d}{ending}"
        else:
            one["channel"] = at
        renditions.append(one)
    return renditions, left_out


def _split(
    folder: Path, given: Path | None, fold: int, tests: bool, ending: str
) -> tuple[dict[str, Any], list[str]]:
    places = [
        folder / "splits_final.json",
        folder.parent.parent / "nnUNet_preprocessed" / folder.name / "splits_final.json",
    ]
    path = given or next((place for place in places if place.is_file()), None)
    if path is None:
        if tests:
            return {"part": "set", "values": {"Tr": "train", "Ts": "test"}}, []
        return {}, ["No splits_final.json was found: cases are split by the hash of their subject."]
    try:
        folds = json.loads(path.read_text(encoding="utf-8"))
        chosen = folds[fold]
        split: dict[str, Any] = {"train": sorted(chosen["train"]), "val": sorted(chosen["val"])}
    except FileNotFoundError as error:
        msg = f"{path} does not exist"
        raise CatalogError(msg) from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        msg = f"{path}: expected a list of folds with train and val, and a fold {fold} among them"
        raise CatalogError(msg) from error
    if tests:
        names = [entry.name for entry in (folder / "labelsTs").iterdir()]
        split["test"] = sorted(name.removesuffix(ending) for name in names if name.endswith(ending))
    return split, [f"Training and validation as fold {fold} of {len(folds)} in {path.name}."]
