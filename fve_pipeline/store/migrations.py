"""Reading a manifest of any version that was ever written."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from fve_pipeline.errors import StoreError, StoreFormatError
from fve_pipeline.files.base import Files
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.runtime.suggest import beside
from fve_pipeline.store.layout import JOURNAL, MANIFEST, STAGING
from fve_pipeline.store.schema import FORMAT_VERSION, Manifest

__all__ = ["MIGRATIONS", "in_one_line", "read_manifest"]

# By the version it takes: a function from the manifest's document to the next version's. Empty while the manifests
# of all versions (1, 2) are of one form, each with its own number: what differs are columns of tables
# (``tables.schema_of``). A change of the format keeps a small store of the old version in the tests.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def read_manifest(files: Files) -> Manifest:
    """Return the manifest of a committed store, in the present form.

    Raises StoreError when there is no committed store, StoreFormatError when its manifest is damaged or newer
    than this package.
    """
    try:
        data = files.read(MANIFEST)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(_why_not(files)) from error
    try:
        document = json.loads(data)
        version = int(document["format_version"])
        if version > FORMAT_VERSION:
            msg = (
                f"{files.url} has store format {version}; this version of fve_pipeline reads up to "
                f"{FORMAT_VERSION}: install a newer one"
            )
            raise StoreFormatError(msg)
        while version in MIGRATIONS:
            document = MIGRATIONS[version](document)
            version += 1
        return Manifest.model_validate(document)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        if isinstance(error, StoreFormatError):
            raise
        why = in_one_line(error) if isinstance(error, ValidationError) else f"{type(error).__name__}, {error}"
        msg = (
            f"{files.url}/{MANIFEST} is not a store's manifest, or is damaged: {why}. It cannot be made again: "
            "restore it from a copy, or build anew with --overwrite"
        )
        raise StoreFormatError(msg) from error


def in_one_line(error: ValidationError) -> str:
    """Return the first things that a document's model found wrong, each with its place."""
    found = [
        ": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, "))))
        for one in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")


def _why_not(files: Files) -> str:
    if isinstance(files, LocalFiles) and files.root.is_file():
        return f"{files.url} is a file; a store is a folder, such as slices.zarr: give the folder that fve build made"
    if files.exists(JOURNAL):
        return f"{files.url}: a build was stopped while it committed; run it again to finish that"
    if files.list_keys(STAGING):
        return f"{files.url} is not finished: run the same fve build again; it does only what is missing"
    meant = beside(files.root) if isinstance(files, LocalFiles) and not files.root.exists() else ""
    return f"there is no store at {files.url} (no {MANIFEST}): {meant or 'fve build makes one'}".rstrip()
