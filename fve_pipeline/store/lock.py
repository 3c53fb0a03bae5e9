"""One builder at a time."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from io import FileIO
from types import TracebackType

from fve_pipeline.errors import StoreLockedError
from fve_pipeline.store.files import LocalFiles
from fve_pipeline.store.layout import LOCK

__all__ = ["BuildLock"]


class BuildLock:
    """Held while a build runs: only the holder writes metadata, commits and sweeps.

    A lock on a file of the store, which the system releases when the process ends, however it ends. The file
    names its owner while the lock is held, and is empty otherwise.
    """

    def __init__(self, files: LocalFiles) -> None:
        self._files = files
        self._file: FileIO | None = None

    def __enter__(self) -> BuildLock:
        path = self._files.root / LOCK
        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = _describe(file.read())
            file.close()
            msg = f"{self._files.url} is being built by {owner}: wait for it to end, or stop it"
            raise StoreLockedError(msg) from error
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._file is not None
        self._file.truncate(0)
        self._file.close()
        self._file = None


def _describe(content: bytes) -> str:
    try:
        owner = json.loads(content)
    except ValueError:  # it took the lock a moment ago and has not signed yet
        return "another process"
    return f"process {owner['pid']} on {owner['host']}"
