"""Corrections of labels that are known to be wrong, keyed by the sha256 of the image that they belong to."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fve_pipeline.errors import CatalogError

__all__ = ["Erratum", "load_errata"]

_Id = Annotated[int, Field(ge=0, le=65535)]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Erratum(BaseModel):
    """What is wrong with one image's labels, and what to do.

    ``image`` is the sha256 of the image's file (of a series: as ``source_sha256`` in ``cases.parquet`` has it). With
    ``labels`` it holds for label files of that sha256 alone, so that a mended file is not corrected once more. Either
    ``drop`` the case, or any of: ``replace`` its label file by one under the data set's root, ``relabel`` ids, ``flip``
    left and right classes, ``ignore`` classes by name. ``reason`` and ``source`` say why, and who found it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: _Sha256
    labels: _Sha256 | None = None
    drop: bool = False
    replace: str | None = None
    relabel: dict[_Id, _Id] = {}
    flip: bool = False
    ignore: tuple[str, ...] = ()
    reason: Annotated[str, Field(min_length=1)]
    source: str = ""

    @model_validator(mode="after")
    def _does_something(self) -> Erratum:
        changes = bool(self.replace or self.relabel or self.flip or self.ignore)
        if self.drop == changes:
            msg = "either drop = true, or at least one of replace, relabel, flip, ignore"
            raise ValueError(msg)
        if self.replace is not None and (self.replace.startswith("/") or ".." in self.replace.split("/")):
            msg = f"replace = {self.replace!r} is to be a path under the data set's root"
            raise ValueError(msg)
        return self


def load_errata(path: Path) -> dict[str, Erratum]:
    """Return the corrections of a TOML file (tables ``[[errata]]``) or a Parquet file (a row each), by image.

    In Parquet ``relabel`` is text, such as "3=4 5=0".

    Raises CatalogError with the file and the entry when one cannot be read, or an image has two.
    """
    found: dict[str, Erratum] = {}
    for number, entry in enumerate(_entries(path), 1):
        try:
            erratum = Erratum.model_validate(entry)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            msg = (
                f'{path}: entry {number}: {where or "it"}: {first["msg"]}. Expected image = "sha256", reason, and drop, '
                "replace, relabel, flip or ignore"
            )
            raise CatalogError(msg) from error
        if erratum.image in found:
            msg = f"{path}: entry {number}: image {erratum.image} has an entry already: make one of the two"
            raise CatalogError(msg)
        found[erratum.image] = erratum
    return found


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        if path.suffix == ".parquet":
            return [_row(row) for row in pq.read_table(path).to_pylist()]
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{path}: errata cannot be read: {error.strerror or error}"
        raise CatalogError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, pa.ArrowException) as error:
        msg = f"{path}: neither TOML nor, by its ending .parquet, Parquet: {error}"
        raise CatalogError(msg) from error
    entries = document.pop("errata", None)
    if document or not isinstance(entries, list):
        msg = f"{path}: expected tables [[errata]] and nothing else, found {', '.join(document) or 'none'}"
        raise CatalogError(msg)
    return entries


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of Parquet as an entry: what is empty is not said."""
    entry = {name: value for name, value in row.items() if value not in (None, "", [])}
    if isinstance(text := entry.get("relabel"), str):
        entry["relabel"] = dict(pair.partition("=")[::2] for pair in text.split())
    return entry
