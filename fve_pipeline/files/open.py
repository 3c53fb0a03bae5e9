"""Opening a place of files by its name."""

from __future__ import annotations

from pathlib import Path

from fve_pipeline.errors import StoreError
from fve_pipeline.files.base import Files
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.runtime.extras import missing_package

__all__ = ["open_files"]


def open_files(location: str | Path) -> Files:
    """Files of the store at ``location``: a local folder, which need not exist yet, or an object store's URL."""
    text = str(location)
    if "://" in text and not text.startswith("file://"):
        try:
            from fve_pipeline.files.remote import RemoteFiles
        except ModuleNotFoundError as error:
            msg = f"{text} cannot be opened: {missing_package(error) or error}"
            raise StoreError(msg) from error

        return RemoteFiles(text)
    return LocalFiles(text.removeprefix("file://"))
