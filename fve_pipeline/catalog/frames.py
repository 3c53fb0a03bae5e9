"""One case a labelled frame of a 4D file (M&Ms)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fve_pipeline.catalog.case import Case
from fve_pipeline.catalog.layout import Frames
from fve_pipeline.catalog.schema import Catalog
from fve_pipeline.catalog.table import read_table
from fve_pipeline.errors import CatalogError

__all__ = ["Framer"]


class Framer:
    """Takes a case apart into its labelled frames, by the dataset's table."""

    def __init__(self, catalog: Catalog, root: Path, frames: Frames) -> None:
        self.columns = frames.columns
        self.path = root / frames.table
        self.rows = read_table(catalog, self.path, frames.delimiter, frames.key, frames.columns)

    def split(self, case: Case, subject: str) -> Iterator[Case]:
        """One case a frame; CatalogError when the table does not know the case or its subject."""
        row = self.rows.get(case.name, self.rows.get(subject))
        if row is None:
            msg = f"{self.path}: no row for the case {case.name!r}, so which of its frames are labelled is unknown"
            raise CatalogError(msg)
        for column, text in zip(self.columns, row, strict=True):
            if not text.strip().isdigit():
                msg = f"{self.path}: {case.name!r} has {text!r} for {column!r}; expected a frame's number, from 0"
                raise CatalogError(msg)
            frame = int(text)
            yield replace(
                case,
                name=f"{case.name}_{column}",
                labels=tuple(replace(file, channel=frame) for file in case.labels),
                renditions=tuple(replace(one, channel=frame) for one in case.renditions),
            )
