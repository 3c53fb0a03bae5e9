"""A catalog from a BIDS dataset: images under ``sub-*``, label maps under ``derivatives``."""

from __future__ import annotations

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fve_pipeline.catalog.draft import Draft, class_entry, slug, spoken
from fve_pipeline.errors import CatalogError

__all__ = ["from_bids"]

_ENDING = re.compile(r"\.nii(\.gz)?$")
_ENTITY = re.compile(r"(?P<key>[a-z]+)-(?P<value>[A-Za-z0-9+]+)")
_MODALITIES = {
    "ct": "CT", "pet": "PET", "us": "US", "micr": "Microscopy",
    **dict.fromkeys(("t1w", "t2w", "flair", "pdw", "t2starw", "inplanet2", "unit1", "angio", "dwi", "adc", "swi"), "MR"),
}  # fmt: skip


def from_bids(folder: Path, *, suffix: str | None = None) -> Draft:
    """Draft a catalog of the BIDS dataset in ``folder``.

    Label maps are the ``_dseg`` files, or else the ``_mask`` files (one file a class where they carry a
    ``label-`` entity), of the pipeline under ``derivatives`` that has most of them. The image is the one of
    the same subject and session with the most common suffix (``T1w``, ``ct``, ...), or with ``suffix``.
    Class names come from the ``_dseg.tsv`` that BIDS asks for; without it, the classes are to be named by you.

    Raises
    ------
    CatalogError
        When there is no label map, no image, or nothing in common between the two.
    """
    if not any(folder.glob("sub-*")):
        msg = f"{folder}: no sub-* folders, so this is no BIDS dataset"
        raise CatalogError(msg)
    files = list(_walk(folder))
    labels = _largest([path for path in files if _suffix(path) == "dseg"], _pipeline) or _largest(
        [path for path in files if _suffix(path) == "mask"], _pipeline
    )
    if not labels:
        msg = f"{folder}: no label maps, which BIDS names *_dseg.nii.gz or *_mask.nii.gz, under it or derivatives"
        raise CatalogError(msg)
    images = [path for path in files if path.startswith("sub-") and _suffix(path).lower() in _MODALITIES]
    counts = Counter(_suffix(path) for path in images)
    chosen = suffix or next((name for name, _ in counts.most_common()), None)
    images = [path for path in images if _suffix(path) == chosen]
    if not images:
        msg = f"{folder}: no images with the suffix {chosen!r}; found {dict(counts)}"
        raise CatalogError(msg)
    image = Counter(_template(path) for path in images).most_common(1)[0][0]
    one_a_class = all("_label-" in path for path in labels) and _suffix(labels[0]) == "mask"
    label = Counter(_template(path, one_a_class) for path in labels).most_common(1)[0][0]
    session = "{session}" in image
    about = _about(folder)
    data: dict[str, Any] = {
        "name": slug(str(about.get("Name", folder.name))),
        "title": str(about.get("Name", folder.name)),
        "modality": _MODALITIES[str(chosen).lower()],
        "licence": str(about.get("License", "unknown")),
        "citation": str(about.get("HowToAcknowledge") or "; ".join(about.get("Authors", ())) or "unknown"),
        "url": str(about.get("DatasetDOI", "")),
        "source": "dataset_description.json",
    }
    if data["modality"] == "CT":
        data["window"] = "soft_tissue"
    notes = [
        f"Drafted from BIDS: {len(images)} {chosen} images ({', '.join(f'{k} {v}' for k, v in counts.items())} in all), "
        f"{len(labels)} label maps."
    ]
    data["classes"], said = _classes(folder, labels, one_a_class)
    data["layout"] = {
        "images": image,
        "labels": label,
        "case": "{subject}_{session}" if session else "{subject}",
        "subject": "{subject}",
    }
    return Draft(data, (*notes, *said))


def _walk(folder: Path) -> Iterator[str]:
    for at, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if _ENDING.search(name) and not name.startswith("."):
                yield Path(at, name).relative_to(folder).as_posix()


def _suffix(path: str) -> str:
    return _ENDING.sub("", path).rsplit("/", 1)[-1].rsplit("_", 1)[-1]


def _pipeline(path: str) -> str:
    """What label maps are grouped by: everything of the path before the subject."""
    return path.split("sub-")[0]


def _largest(paths: list[str], key: Any) -> list[str]:
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(key(path), []).append(path)
    return max(groups.values(), key=len, default=[])


def _template(path: str, one_a_class: bool = False) -> str:
    """The path with subject and session, which differ between cases, as named parts."""
    path = re.sub(r"sub-[A-Za-z0-9+]+", "sub-{subject}", path)
    path = re.sub(r"ses-[A-Za-z0-9+]+", "ses-{session}", path)
    if one_a_class:
        path = re.sub(r"label-[A-Za-z0-9+]+", "label-{class}", path)
    return path


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / "dataset_description.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _classes(folder: Path, labels: list[str], one_a_class: bool) -> tuple[list[dict[str, Any]], list[str]]:
    if one_a_class:
        found = (_ENTITY.finditer(path.rsplit("/", 1)[-1]) for path in labels)
        names = sorted(
            {entity["value"] for entities in found for entity in entities if entity["key"] == "label"}
        )
        return [class_entry(at, spoken(name), file=name) for at, name in enumerate(names, start=1)], []
    if _suffix(labels[0]) == "mask":
        return [class_entry(1, "foreground")], ["The masks' class has no name in BIDS: give it one."]
    tables = [*(folder / _pipeline(labels[0])).rglob("*dseg.tsv"), *folder.glob("*dseg.tsv")]
    if not tables:
        return [class_entry(1, "label 1")], ["No *_dseg.tsv names the labels: list the classes yourself."]
    with tables[0].open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    try:
        entries = [
            class_entry(int(row["index"]), spoken(row["name"])) for row in rows if int(row["index"]) > 0
        ]
    except (KeyError, ValueError, TypeError) as error:
        msg = f"{tables[0]}: expected the columns index (whole numbers) and name"
        raise CatalogError(msg) from error
    return entries, [f"Class names from {tables[0].relative_to(folder).as_posix()}."]
