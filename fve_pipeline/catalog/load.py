"""Read a catalog, and say what is wrong with it by file, line and value."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from fve_pipeline.catalog.finding_table import FindingTable
from fve_pipeline.catalog.layout import Frames, Layout, SplitRule
from fve_pipeline.catalog.positions import key_lines, line_of
from fve_pipeline.catalog.rules import KeyedError
from fve_pipeline.catalog.schema import Catalog, ClassSpec, RenditionSpec
from fve_pipeline.catalog.shared import PromptFile, SharedSubject
from fve_pipeline.errors import CatalogError
from fve_pipeline.runtime.suggest import beside, near

__all__ = ["load_catalog", "parse_catalog", "shipped_catalogs"]

_TABLES: dict[str, type[BaseModel]] = {
    "classes": ClassSpec,
    "renditions": RenditionSpec,
    "frames": Frames,
    "layout": Layout,
    "split": SplitRule,
    "prompt_file": PromptFile,
    "shared": SharedSubject,
    "findings": FindingTable,
}


def shipped_catalogs() -> tuple[str, ...]:
    """Return the names of the catalogs that come with the package, sorted."""
    folder = resources.files("fve_catalogs")
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_catalog(name_or_path: str | Path) -> Catalog:
    """Load a catalog by the name of a shipped one, or from a TOML file.

    Raises
    ------
    CatalogError
        When there is no such catalog (similar names are suggested), when the file is not TOML (with the
        line), or for every key that is unknown, missing or wrong (with line, value and what was expected).
    """
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.is_file():
        try:
            return parse_catalog(path.read_text(encoding="utf-8"), str(name_or_path))
        except FileNotFoundError as error:
            msg = f"{name_or_path}: no such catalog file. {beside(path) or _known(path.stem)}"
            raise CatalogError(msg) from error
        except UnicodeDecodeError as error:
            msg = (
                f"{name_or_path}: not TOML, as its bytes are no UTF-8 text ({error.reason} at {error.start})"
            )
            raise CatalogError(msg) from error
    name = str(name_or_path)
    if name not in shipped_catalogs():
        msg = f"no catalog is called {name!r}. {_file_beside(path) or _known(name)}"
        raise CatalogError(msg)
    text = (resources.files("fve_catalogs") / f"{name}.toml").read_text(encoding="utf-8")
    return parse_catalog(text, f"{name}.toml")


def parse_catalog(text: str, where: str) -> Catalog:
    """Validate the text of a catalog; ``where`` names it in errors."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{where}: not valid TOML: {error}"
        raise CatalogError(msg) from error
    try:
        return Catalog.model_validate(data)
    except ValidationError as error:
        lines = key_lines(text)
        found = [_explain(one, where, lines) for one in error.errors()]
        raise CatalogError("\n".join(found)) from error


def _file_beside(path: Path) -> str:
    """Return the file whose ending was left out, if that is what lies there."""
    file = path.with_name(f"{path.name}.toml")
    return f"Did you mean {file}?" if file.is_file() else ""


def _known(name: str) -> str:
    shipped = shipped_catalogs()
    hint = near(name, shipped, 3)
    return f"{hint}Shipped are: {', '.join(shipped)}. Your own is given as the path of a .toml file."


def _explain(error: Any, where: str, lines: dict[tuple[str | int, ...], int]) -> str:
    path: tuple[str | int, ...] = tuple(error["loc"])
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, KeyedError):
        path = (*path, *cause.key)
    line = line_of(lines, path)
    at = f"{where}:{line}" if line is not None else where
    kind = error["type"]
    if kind == "extra_forbidden":
        return f"{at}: unknown key {path[-1]!r}{_inside(path[:-1])}. {_expected(path)}"
    if kind == "missing":
        return f"{at}: missing key {path[-1]!r}{_inside(path[:-1])}"
    found = (
        ""
        if isinstance(error["input"], dict) or isinstance(cause, KeyedError)
        else f", found {error['input']!r}"
    )
    reason = str(cause) if isinstance(cause, ValueError) else error["msg"][0].lower() + error["msg"][1:]
    key = ".".join(str(part) for part in path if isinstance(part, str)) or "catalog"
    said = reason if isinstance(cause, ValueError) else reason + found
    return f"{at}: {key}{_inside(path, number_only=True)}: {said}"


def _inside(path: tuple[str | int, ...], *, number_only: bool = False) -> str:
    """Where in the file, in words: `` in [layout]``, `` in classes number 3``."""
    for at, part in enumerate(path):
        if isinstance(part, int):
            return f" (number {part + 1})" if number_only else f" in {path[at - 1]} number {part + 1}"
    return f" in [{path[0]}]" if path and not number_only else ""


def _expected(path: tuple[str | int, ...]) -> str:
    tables = [part for part in path[:-1] if part in _TABLES]
    model = _TABLES[str(tables[-1])] if tables else Catalog
    keys = sorted(model.model_fields)
    return f"{near(str(path[-1]), keys)}Known keys: {', '.join(keys)}"
