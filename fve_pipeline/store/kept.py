"""Local files kept open for reading, within a share of what the process may open."""

from __future__ import annotations

import os
import resource

__all__ = ["KeptFile", "keep_open"]

_SHARE = 4  # one in so many of the files that the process may open: the rest is the program's own

# Descriptors that are kept. A set, because its operations are whole whatever threads and forks do.
_kept: set[int] = set()


class KeptFile:
    """A file open for reading until nobody holds this. Any number of threads may read at once."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._handle = os.open(path, os.O_RDONLY)
        _kept.add(self._handle)
        self.size = os.fstat(self._handle).st_size

    def __del__(self) -> None:
        if hasattr(self, "_handle"):  # it was opened
            _kept.discard(self._handle)
            os.close(self._handle)

    def read(self, start: int, memory: memoryview) -> int:
        """Fill ``memory`` from ``start`` on; how much of it was, less only where the file ends."""
        found = os.preadv(self._handle, (memory,), start)
        while 0 < found < len(memory):
            more = os.preadv(self._handle, [memory[found:]], start + found)
            if more == 0:
                break
            found += more
        return found


def keep_open(path: str | os.PathLike[str]) -> KeptFile | None:
    """The file, opened; None where the process keeps as many open as it should. Raises OSError."""
    if len(_kept) >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _SHARE:
        return None
    return KeptFile(path)
