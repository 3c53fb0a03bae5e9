"""Catalogs that are made, not written: a draft with its TOML text and what a person should look at."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fve_pipeline.catalog.load import parse_catalog
from fve_pipeline.catalog.prompts import side_of
from fve_pipeline.catalog.schema import Catalog

__all__ = ["Draft", "class_entry", "slug", "spoken"]

_TOP = (
    "name", "title", "modality", "technique", "site", "licence", "citation", "url", "download", "source", "subjects",
    "window", "scaled", "percentiles_over", "ignore",
)  # fmt: skip
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Draft:
    """``data`` has a catalog's keys; ``notes`` say what was guessed, and from which numbers."""

    data: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def toml(self) -> str:
        """The text of the catalog, with the notes as comments on top."""
        lines = [f"# {_one_line(note)}".rstrip() for note in self.notes]
        lines += [f"{key} = {_value(self.data[key])}" for key in _TOP if key in self.data]
        lines += ["", "classes = [", *(f"    {_value(spec)}," for spec in self.data["classes"]), "]"]
        for table in ("layout", "split"):
            if table in self.data:
                lines += [
                    "",
                    f"[{table}]",
                    *(f"{key} = {_value(value)}" for key, value in self.data[table].items()),
                ]
        for rendition in self.data.get("renditions", ()):
            lines += ["", "[[renditions]]", *(f"{key} = {_value(value)}" for key, value in rendition.items())]
        return "\n".join(lines) + "\n"

    def catalog(self) -> Catalog:
        """The draft as a catalog, validated like any other."""
        return parse_catalog(self.toml(), f"{self.data['name']}.toml")


def class_entry(class_id: int, name: str, ids: Sequence[int] = (), file: str | None = None) -> dict[str, Any]:
    """A class as a catalog's ``classes`` lists it, its side taken from its name."""
    entry: dict[str, Any] = {"id": class_id, "name": name}
    if ids:
        entry["ids"] = list(ids)
    if (side := side_of(name)) is not None:
        entry["side"] = side
    if file is not None:
        entry["file"] = file
    return entry


def spoken(label: str) -> str:
    """A label as words: ``kidney_left`` becomes ``left kidney``."""
    words = label.replace("_", " ").split()
    if len(words) > 1 and words[-1].lower() in ("left", "right"):
        words = [words[-1].lower(), *words[:-1]]
    return " ".join(words)


def slug(text: str) -> str:
    """A text as a name for catalogs and renditions: lower case, digits and ``_``."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "x"


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        pairs = (f"{key if _BARE.fullmatch(key) else _value(key)} = {_value(v)}" for key, v in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list | tuple):
        if len(value) > 12 or any(isinstance(one, str) and len(value) > 4 for one in value):
            return "[\n" + "".join(f"    {_value(one)},\n" for one in value) + "]"
        return "[" + ", ".join(_value(one) for one in value) + "]"
    return str(value)
