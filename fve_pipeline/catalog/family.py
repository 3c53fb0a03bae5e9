"""A family of datasets with one prompt file (the CVPR 2025 challenge's 68) taken apart into its datasets."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from fve_pipeline.catalog.pattern import parse_pattern
from fve_pipeline.catalog.prompts import side_of
from fve_pipeline.catalog.schema import Catalog
from fve_pipeline.catalog.shared import PromptFile, SharedSubject
from fve_pipeline.errors import CatalogError

__all__ = ["FamilyDataset", "expand"]

_LOG = logging.getLogger(__name__)


class FamilyDataset(Catalog):
    """One dataset of a family, with the images that are its own.

    ``prompt_sha256`` is the hash of the prompt file that its classes come from: versions of it differ.
    """

    prompt_sha256: str
    shared: tuple[SharedSubject, ...] = ()
    _images: list[tuple[str, dict[str, str]]] = PrivateAttr(default_factory=list)

    def find_images(self, root: Path) -> list[tuple[str, dict[str, str]]]:  # noqa: ARG002 (found by expand)
        """Return the images that ``expand`` found."""
        return self._images

    def subject_id(self, case: str, subject: str) -> str:
        """Return the patient's name where several datasets share patients, else the case's own."""
        for rule in self.shared:
            match = re.search(rule.pattern, case)
            if match:
                return f"{rule.subjects}/{match[1]}"
        return super().subject_id(case, subject)


def expand(catalog: Catalog, root: Path, prompts: Path | None = None) -> tuple[Catalog, ...]:
    """Return the datasets of ``catalog`` under ``root``: itself, or a family's datasets that have files there.

    ``prompts`` is the family's prompt file where it does not lie under ``root``, or in the folder above it,
    by the name that the catalog gives.

    Raises
    ------
    CatalogError
        When the prompt file is missing or has another form, or when no file belongs to any dataset.
    """
    if not catalog.is_family:
        return (catalog,)
    family = catalog.prompt_file
    assert family is not None
    path, content = _read(family, root, prompts)
    owned: dict[str, list[tuple[str, dict[str, str]]]] = {}
    strays: list[str] = []
    owner = _Owner(family, tuple(content))
    for image, parts in parse_pattern(catalog.layout.images).find(root):
        dataset = owner.of(image)
        if dataset is None:
            strays.append(image)
        else:
            owned.setdefault(dataset, []).append((image, parts))
    if strays:
        _LOG.warning(
            "catalog %r: %d files under %s belong to no dataset of %s and are left out, the first %s",
            catalog.name, len(strays), root, path.name, strays[0],
        )  # fmt: skip
    if not owned:
        msg = (
            f"catalog {catalog.name!r}: no file under {root} belongs to a dataset of {path.name}. Expected "
            f"{catalog.layout.images!r} in a folder with the dataset's name, or beginning with it."
        )
        raise CatalogError(msg)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return tuple(
        _dataset(catalog, family, name, content[name], digest, owned[name])
        for name in content
        if name in owned
    )


def _read(family: PromptFile, root: Path, prompts: Path | None) -> tuple[Path, dict[str, dict[str, Any]]]:
    places = [prompts] if prompts is not None else [root / family.name, root.parent / family.name]
    for path in places:
        if path.is_file():
            break
    else:
        tried = " or ".join(str(place) for place in places)
        msg = f"no prompt file at {tried}: it names the classes of each dataset"
        raise CatalogError(msg)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for classes in content.values():
            if classes["instance_label"] not in (0, 1):
                raise ValueError
            for label, sentences in classes.items():
                if label != "instance_label" and (
                    int(label) < 1 or not all(isinstance(s, str) for s in sentences)
                ):
                    raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f'{path}: expected JSON of {{dataset: {{"1": [sentences], ..., "instance_label": 0 or 1}}}}'
        raise CatalogError(msg) from error
    return path, content


class _Owner:
    """Which dataset a file belongs to."""

    def __init__(self, family: PromptFile, datasets: tuple[str, ...]) -> None:
        names = {name.lower(): name for name in datasets}
        names |= {alias.lower(): name for alias, name in family.aliases.items() if name in datasets}
        self.names = names
        self.longest_first = sorted(names, key=len, reverse=True)

    def of(self, image: str) -> str | None:
        *folders, name = image.lower().split("/")
        for folder in reversed(folders):
            if folder in self.names:
                return self.names[folder]
        for prefix in self.longest_first:
            if name.startswith(prefix):
                return self.names[prefix]
        return None


def _dataset(
    catalog: Catalog,
    family: PromptFile,
    name: str,
    content: dict[str, Any],
    digest: str,
    images: list[tuple[str, dict[str, str]]],
) -> FamilyDataset:
    modality = next((kind for prefix, kind in family.modalities.items() if name.startswith(prefix)), None)
    if modality is None:
        msg = f"catalog {catalog.name!r}: [prompt_file] modalities has no beginning of {name!r}; add it"
        raise CatalogError(msg)
    instance = bool(content["instance_label"])
    labels = sorted(int(label) for label in content if label != "instance_label")
    sentences = {label: content[str(label)] for label in labels}
    shared = {"name", "modality", "classes", "prompt_file", "subjects"}
    dataset = FamilyDataset.model_validate(
        {
            **catalog.model_dump(exclude=shared, exclude_defaults=True),
            "name": name,
            "modality": modality,
            "classes": [
                {
                    "id": label,
                    "name": sentences[label][0],
                    "prompts": sentences[label],
                    "side": side_of(sentences[label][0]),
                    "instance": instance,
                }
                for label in labels
            ],
            "prompt_sha256": digest,
            "shared": family.model_dump()["shared"],
        }
    )
    dataset._images.extend(images)
    return dataset
