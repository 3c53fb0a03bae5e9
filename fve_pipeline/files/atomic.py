"""The one way to write a local file: whole or not at all, and on the disk once it is there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from fve_pipeline.runtime.faults import naming

__all__ = ["is_partial", "make_folder", "replaced_whole", "sweep_partials", "sync_folder", "write_whole"]

_PARTIAL = ".partial-"
_WINDOWS = os.name == "nt"


@contextlib.contextmanager
def replaced_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``, which takes its place once the block has written it.

    The temporary name is the writer's own and has the ending of ``path``, for libraries that go by it. When the
    block raises, or the disk refuses, ``path`` is what it was and the temporary file is gone. Raises OSError with
    the path that it is about.
    """
    partial = path.with_name(f"{_PARTIAL}{os.urandom(8).hex()}-{path.name}")
    try:
        yield partial
        _sync(partial)
        os.replace(partial, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno and error.filename in (None, partial, str(partial)):
            error.filename, error.filename2 = str(path), None
        with contextlib.suppress(OSError):  # the first error is the one to tell
            partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def write_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that becomes ``path`` when the block ends, as :func:`replaced_whole` does."""
    with replaced_whole(path) as partial, open(partial, "xb") as file:
        yield file


def is_partial(name: str) -> bool:
    """Tell whether a file's name is that of one being written, or left behind by a writer that was killed."""
    return name.startswith(_PARTIAL)


def sweep_partials(folder: Path, names: Collection[str] | None = None) -> None:
    """Remove what killed writers left in a folder: of files of these names, which nobody else writes now, or of all."""
    for leftover in folder.glob(f"{_PARTIAL}*"):
        if names is None or leftover.name.removeprefix(_PARTIAL).partition("-")[2] in names:
            leftover.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and the missing ones above it, each made durable in its parent."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable. Windows does so by itself, and lets nobody open a folder."""
    if not _WINDOWS:
        _sync(path)


def _sync(path: Path) -> None:
    with naming(path):
        handle = os.open(path, os.O_RDWR if _WINDOWS else os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
