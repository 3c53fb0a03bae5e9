"""Classes that may overlap, a mask each: a folder of a file a class, or a file of a layer a class."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import EvaluationError
from fve_pipeline.volume import Volume, read_header, read_image

__all__ = ["APART", "ApartMasks", "masks_apart"]

#: How files and folders of classes kept apart are named, after the case.
APART = "_classes"

_NUMBERED = re.compile(r"(\d+)(?:[_-].*)?")


@dataclass(frozen=True)
class ApartMasks:
    """Where each class of a case has its mask: ``places`` by class id, a file and its layer if it has several."""

    path: Path
    places: Mapping[int, tuple[Path, int | None]]

    def place(self) -> Volume:
        """Return the first mask with where it lies. Raises ReadError when it cannot be read."""
        path, layer = next(iter(self.places.values()))
        return read_image(path, channel=layer)

    def mask(self, class_id: int, like: tuple[int, int, int]) -> NDArray[np.uint8]:
        """Return a class's mask, uint8 (z,y,x) of 0 and 1; empty for a class that is not there.

        Raises ReadError for a file that cannot be read, EvaluationError for one of another shape than ``like``.
        """
        if class_id not in self.places:
            return np.zeros(like, np.uint8)
        path, layer = self.places[class_id]
        found = read_image(path, channel=layer)
        if found.shape != like:
            msg = f"{path}: shape {found.shape} (z, y, x); expected {like}, as the other classes of {self.path}."
            raise EvaluationError(msg)
        mask: NDArray[np.uint8] = (found.array != 0).astype(np.uint8)
        return mask

    def __iter__(self) -> Iterator[int]:
        return iter(self.places)


def masks_apart(path: Path, suffixes: tuple[str, ...]) -> ApartMasks | None:
    """Return the masks of a folder ``CASE_classes``, or of a file of that name with layers; None for another path.

    A file's name begins with its class's id. Layers are in the order of the classes in the report ``CASE.json`` beside
    the file, or else 1, 2, …. Raises EvaluationError for a folder with a file of another name, or none.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.name.lower().endswith(suffixes))
        places: dict[int, tuple[Path, int | None]] = {}
        for file in files:
            number = _NUMBERED.fullmatch(file.name.split(".", 1)[0])
            if number is None or int(number[1]) in places:
                msg = f"{file}: expected a name that begins with its class's id, no other's, such as 00007_heart.nii.gz"
                raise EvaluationError(msg)
            places[int(number[1])] = (file, None)
        if not places:
            msg = f"{path}: holds no mask; expected a file a class, such as 00007_heart.nii.gz"
            raise EvaluationError(msg)
        return ApartMasks(path, places)
    name = path.name.split(".", 1)[0]
    if not name.endswith(APART):
        return None
    channels = read_header(path).channels
    report = path.with_name(f"{name.removesuffix(APART)}.json")
    ids = list(range(1, channels + 1))
    if report.is_file():
        ids = [row["id"] for row in json.loads(report.read_text(encoding="utf-8"))["classes"]]
    if len(ids) != channels:
        msg = f"{path}: has {channels} layers; expected {len(ids)}, as {report.name} names classes."
        raise EvaluationError(msg)
    return ApartMasks(path, {one: (path, layer if channels > 1 else None) for layer, one in enumerate(ids)})
