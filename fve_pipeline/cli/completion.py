"""What an option may be: shown in help, and offered by the shell where completion is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["catalogs", "one_of", "stores"]


def one_of(*names: str) -> dict[str, Any]:
    """Return what typer.Option needs to show and to complete a choice; whether it is one is checked where it is used."""
    return {"metavar": "|".join(names), "autocompletion": lambda: list(names)}


def catalogs(incomplete: str) -> list[str]:
    """Return the shipped catalogs, and the TOML files and folders at the path so far, that begin like it."""
    from fve_pipeline.catalog import shipped_catalogs

    names = [name for name in shipped_catalogs() if name.startswith(incomplete)]
    return names + _paths(incomplete, lambda path: path.suffix == ".toml")


def stores(incomplete: str) -> list[str]:
    """Return the stores, and the folders on the way to one, that begin like the path so far."""
    return _paths(incomplete, lambda path: (path / "manifest.json").is_file())


def _paths(incomplete: str, wanted: Any) -> list[str]:
    folder, _, begun = incomplete.rpartition("/")
    place = Path(f"{folder}/" if "/" in incomplete else ".")
    before = f"{folder}/" if "/" in incomplete else ""
    try:
        entries = sorted(entry for entry in place.iterdir() if entry.name.startswith(begun))
    except OSError:
        return []
    shown = [entry for entry in entries if not entry.name.startswith(".") or begun.startswith(".")]
    return [
        f"{before}{entry.name}" + ("" if wanted(entry) else "/")
        for entry in shown
        if wanted(entry) or entry.is_dir()
    ]
