"""Files under a folder of this machine."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fve_pipeline.files.atomic import is_partial, make_folder, replaced_whole, sync_folder, write_whole
from fve_pipeline.files.base import Buffer
from fve_pipeline.files.mapped import KeptFile, keep_mapped
from fve_pipeline.runtime.faults import naming

if TYPE_CHECKING:
    from zarr.abc.store import Store as ZarrStore

__all__ = ["LocalFiles"]


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
        return self.local_path(key).read_bytes()

    def read_range(self, key: str, start: int, length: int) -> bytes:
        path = self._text_path(key)
        with naming(path), open(path, "rb", buffering=0) as file:
            file.seek(start)
            return file.read(length)

    def size(self, key: str) -> int:
        return self.local_path(key).stat().st_size

    def mapped(self, key: str) -> KeptFile | None:
        return keep_mapped(self._text_path(key))

    def stamp(self, key: str) -> str:
        status = os.stat(self._text_path(key))
        return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"

    def exists(self, key: str) -> bool:
        return os.path.isfile(self._text_path(key))

    def list_keys(self, prefix: str = "") -> list[str]:
        found = []
        for folder, _, names in os.walk(self.root / prefix):
            relative = Path(folder).relative_to(self.root)
            found += [(relative / name).as_posix() for name in names if not is_partial(name)]
        return sorted(found)

    def write_atomic(self, key: str, pieces: Iterable[Buffer]) -> None:
        path = self.root / key
        make_folder(path.parent)
        with write_whole(path) as file:
            for piece in pieces:
                file.write(piece)

    def copy(self, source: str, target: str) -> None:
        old, new = self.root / source, self.root / target
        make_folder(new.parent)
        try:
            # In one step where nothing is in the way: a kill leaves the name or none.
            os.link(old, new)
        except FileNotFoundError:
            raise
        except OSError:  # not every file system has links, and what is there already has to be replaced
            with replaced_whole(new) as partial:
                shutil.copyfile(old, partial)
        else:
            sync_folder(new.parent)

    def move(self, source: str, target: str) -> None:
        old, new = self.root / source, self.root / target
        make_folder(new.parent)
        os.replace(old, new)
        sync_folder(new.parent)

    def delete(self, key: str) -> None:
        path = self.root / key
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_folder(path.parent)

    def delete_tree(self, prefix: str) -> None:
        path = self.root / prefix
        while path.is_dir():
            try:
                shutil.rmtree(path)
            except OSError as error:
                # A task that outlives its client may still be writing here: go over it again.
                if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                    error.filename = str(path)  # it names the last folder of the path alone
                    raise
            sync_folder(path.parent)

    def zarr_store(self) -> ZarrStore:
        from zarr.storage import LocalStore

        return LocalStore(self.root, read_only=True)

    def local_path(self, key: str) -> Path:
        return Path(self._text_path(key))

    def _text_path(self, key: str) -> str:
        """Of a file to be opened thousands of times a second, which making Paths would slow down."""
        return f"{self._prefix}{key}"
