"""The tables of a store or of a scan, by path."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from fve_pipeline.coreset.select import Tables
from fve_pipeline.errors import StoreError

__all__ = ["open_tables"]


def open_tables(path: Path) -> Tables:
    """Tables and content id of a store or a scan. Raises StoreError when the folder is neither."""
    for folder in (path, path / "slices.zarr"):
        for document in ("manifest.json", "scan.json"):
            if (folder / document).is_file():
                content_id = json.loads((folder / document).read_text())["content_id"]
                cases, classes = (pq.read_table(folder / f"{name}.parquet") for name in ("cases", "classes"))
                return Tables(cases, classes, content_id)
    what = "is not there" if not path.exists() else "has neither a manifest.json nor a scan.json"
    msg = f"{path}: not a finished store and not a scan: it {what}; build one with fve build, or fve scan"
    raise StoreError(msg)
