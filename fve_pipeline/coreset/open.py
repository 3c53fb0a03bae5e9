"""The tables of a store or of a scan, by path."""

from __future__ import annotations

from pathlib import Path

from fve_pipeline.build.scan import SCAN, read_scan
from fve_pipeline.coreset.select import Tables
from fve_pipeline.errors import StoreError
from fve_pipeline.store.reader import open_store

__all__ = ["open_tables"]


def open_tables(location: str) -> Tables:
    """Tables and content id of a store or a scan. Raises StoreError when there is neither."""
    if (Path(location) / SCAN).is_file():
        return Tables(*read_scan(Path(location)))
    try:
        store = open_store(location)
    except StoreError as error:
        error.add_note("a folder that fve scan made is taken too")
        raise
    return Tables(store.cases, store.classes, store.manifest.content_id)
