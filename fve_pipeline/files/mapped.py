"""Local files kept mapped for reading, within a share of what the process may open."""

from __future__ import annotations

import mmap
import os

from fve_pipeline.runtime.limits import open_file_limit

__all__ = ["KeptFile", "keep_mapped"]

_SHARE = 4  # one in so many of the files that the process may open: the rest is the program's own

# Maps that are kept, each of which holds a file open. A set, because its operations are whole whatever threads
# and forks do.
_kept: set[int] = set()


class KeptFile:
    """A file mapped for reading until nobody holds this. Any number of threads may read at once."""

    def __init__(self, file: int) -> None:
        self._map = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
        self._bytes = memoryview(self._map)
        self.size = len(self._bytes)
        _kept.add(id(self))

    def __del__(self) -> None:
        _kept.discard(id(self))

    def read(self, start: int, length: int) -> memoryview:
        """Bytes from ``start`` on: fewer than ``length`` where the file has been cut short since."""
        # Asked each time: to touch a page past the file's end would kill the process.
        return self._bytes[start : min(start + length, self._map.size())]


def keep_mapped(path: str | os.PathLike[str]) -> KeptFile | None:
    """The file, mapped; None when it is empty, or the process keeps as many open as it should. Raises OSError."""
    if len(_kept) >= open_file_limit() // _SHARE:
        return None
    with open(path, "rb") as file:
        return KeptFile(file.fileno()) if os.fstat(file.fileno()).st_size else None
