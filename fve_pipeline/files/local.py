"""Files under a folder of this machine."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fve_pipeline.files.base import Buffer

if TYPE_CHECKING:
    from zarr.abc.store import Store as ZarrStore

__all__ = ["LocalFiles"]

_PARTIAL = ".partial"


class LocalFiles:
    """Files under a local folder."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()
        self._prefix = f"{self.root}{os.sep}"

    def __repr__(self) -> str:
        return f"LocalFiles({str(self.root)!r})"

    @property
    def url(self) -> str:
        return str(self.root)

    def read(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def read_range(self, key: str, start: int, length: int) -> bytes:
        handle = os.open(self._text_path(key), os.O_RDONLY)
        try:
            return os.pread(handle, length, start)
        finally:
            os.close(handle)

    def size(self, key: str) -> int:
        return self.local_path(key).stat().st_size

    def exists(self, key: str) -> bool:
        return (self.root / key).is_file()

    def list_keys(self, prefix: str = "") -> list[str]:
        found = []
        for folder, _, names in os.walk(self.root / prefix):
            relative = Path(folder).relative_to(self.root)
            found += [(relative / name).as_posix() for name in names if not name.endswith(_PARTIAL)]
        return sorted(found)

    def write_atomic(self, key: str, pieces: Iterable[Buffer]) -> None:
        path = self.root / key
        _make_folder(path.parent)
        # A name of its own for each writer: two writers of one key never share a temporary file.
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{_PARTIAL}")
        try:
            with open(partial, "xb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)

    def move(self, source: str, target: str) -> None:
        old, new = self.root / source, self.root / target
        _make_folder(new.parent)
        os.replace(old, new)
        _sync_folder(new.parent)

    def delete(self, key: str) -> None:
        path = self.root / key
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            _sync_folder(path.parent)

    def delete_tree(self, prefix: str) -> None:
        path = self.root / prefix
        while path.is_dir():
            try:
                shutil.rmtree(path)
            except OSError as error:
                # A task that outlives its client may still be writing here: go over it again.
                if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                    raise
            _sync_folder(path.parent)

    def zarr_store(self) -> ZarrStore:
        from zarr.storage import LocalStore

        return LocalStore(self.root, read_only=True)

    def local_path(self, key: str) -> Path:
        return Path(self._text_path(key))

    def _text_path(self, key: str) -> str:
        """Of a file to be opened thousands of times a second, which making Paths would slow down."""
        return f"{self._prefix}{key}"


def _make_folder(path: Path) -> None:
    """Make a folder and the missing ones above it, each made durable in its parent."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
