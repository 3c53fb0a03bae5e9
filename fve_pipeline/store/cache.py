"""Whole shards of remote stores, kept on a local disk within a limit."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from fve_pipeline.errors import StoreFormatError
from fve_pipeline.files.atomic import write_whole
from fve_pipeline.files.base import ReadableFiles
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.store.shard import FileSum

__all__ = ["CachedShards", "ShardCache"]


class ShardCache:
    """A folder of shards named by their sha256; those not opened for the longest time go first.

    It holds at most ``limit`` bytes of them, and one shard more while that is being added.
    Several processes and several stores may share it. A shard that is in use stays readable when it goes.
    """

    def __init__(self, folder: str | Path | None = None, limit: int = 20 * 2**30) -> None:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.folder = Path(folder) if folder else base / "fve_pipeline" / "shards"
        self.limit = limit

    def fetch(self, files: ReadableFiles, total: FileSum) -> Path:
        """Return the path of the shard's local copy, downloaded and checked when there is none.

        Raises StoreFormatError when what comes is not what the manifest lists, FileNotFoundError when it is
        gone.
        """
        path = self.folder / total.sha256
        try:
            os.utime(path)
        except FileNotFoundError:
            self._download(files, total, path)
        return path

    def _download(self, files: ReadableFiles, total: FileSum, path: Path) -> None:
        data = files.read(total.key)
        found = hashlib.sha256(data).hexdigest()
        if found != total.sha256:
            msg = (
                f"{files.url}/{total.key} has sha256 {found}, not {total.sha256}: the store has grown since it was "
                "opened (open it again), or the file was changed or damaged (see fve verify)"
            )
            raise StoreFormatError(msg)
        self._make_room(len(data))
        self.folder.mkdir(parents=True, exist_ok=True)
        with write_whole(path) as file:
            file.write(data)

    def _make_room(self, needed: int) -> None:
        kept = []
        for path in self.folder.glob("*"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process made room
                continue
            kept.append((status.st_mtime_ns, status.st_size, path))
        size = sum(n for _, n, _ in kept) + needed
        for _, n, path in sorted(kept):
            if size <= self.limit:
                break
            path.unlink(missing_ok=True)
            size -= n


class CachedShards(LocalFiles):
    """The committed shards of a remote store as local files, fetched when they are first opened.

    A shard's sum says whether it is ours. Only when it is not, ``committed`` asks for the store's state.
    """

    def __init__(
        self, files: ReadableFiles, committed: ReadableFiles, sums: Mapping[str, FileSum], cache: ShardCache
    ) -> None:
        super().__init__(cache.folder)
        self._remote = files
        self._committed = committed
        self._sums = sums
        self._cache = cache

    @property
    def url(self) -> str:
        """Where the shards come from."""
        return self._remote.url

    def exists(self, key: str) -> bool:
        """Return whether it is a committed shard's key."""
        return key in self._sums

    def list_keys(self, prefix: str = "") -> list[str]:
        """Return the keys of the committed shards below the folder ``prefix``, sorted."""
        return sorted(key for key in self._sums if not prefix or key.startswith(f"{prefix}/"))

    def _text_path(self, key: str) -> str:
        try:
            total = self._sums[key]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no committed shard", f"{self.url}/{key}") from None
        try:
            return str(self._cache.fetch(self._remote, total))
        except (FileNotFoundError, StoreFormatError):
            return str(self._cache.fetch(self._committed, total))
