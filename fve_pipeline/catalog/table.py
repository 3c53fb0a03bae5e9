"""CSV files that datasets ship: which split a case is in, which frames are labelled."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from fve_pipeline.catalog.schema import Catalog
from fve_pipeline.errors import CatalogError

__all__ = ["read_table"]


def read_table(
    catalog: Catalog, path: Path, delimiter: str, key: str, columns: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Map each row's ``key`` to its values in ``columns``.

    Raises
    ------
    CatalogError
        When the file does not exist or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter)
            found = reader.fieldnames or []
            for column in (key, *columns):
                if column not in found:
                    msg = f"{path}: no column {column!r}, which {catalog.name!r} asks for; found {', '.join(found)}"
                    raise CatalogError(msg)
            return {row[key]: tuple(row[column] for column in columns) for row in reader}
    except FileNotFoundError as error:
        msg = f"catalog {catalog.name!r}: its table {path} does not exist"
        raise CatalogError(msg) from error
