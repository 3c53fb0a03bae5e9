"""One builder at a time: whoever holds a store's lock, and nobody else, commits and sweeps."""

from __future__ import annotations

import contextlib
import os
from io import FileIO
from types import TracebackType
from typing import Protocol

from filelock import lock_descriptor

from fve_pipeline.errors import StoreLockedError
from fve_pipeline.files.base import Files
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.files.owner import LOCK, describe, signature
from fve_pipeline.runtime.faults import naming

__all__ = ["BuildLock", "break_lock"]


class _Held(Protocol):
    def take(self) -> None: ...
    def release(self) -> None: ...
    def check(self) -> None: ...


class BuildLock:
    """Held while a build runs, as a context manager. Raises StoreLockedError when another build holds it.

    In a local folder it is a lock on ``.fve/lock``, which the system releases when the process ends, however
    it ends; the file names its owner meanwhile and is empty otherwise. In an object store it is an object
    ``.fve/lock`` that only one can create, with its owner and a heartbeat; a killed builder's stays until
    ``break_lock`` removes it.
    """

    def __init__(self, files: Files) -> None:
        self._held = _lock(files)

    def __enter__(self) -> BuildLock:
        self._held.take()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.release()

    def check(self) -> None:
        """To be called before committing. Raises StoreLockedError when the lock was broken meanwhile."""
        self._held.check()


def _lock(files: Files) -> _Held:
    if isinstance(files, LocalFiles):
        return FileLock(files)
    from fve_pipeline.files.object_lock import ObjectLock
    from fve_pipeline.files.remote import RemoteFiles

    if not isinstance(files, RemoteFiles):
        msg = f"there is no lock for {files!r}"
        raise TypeError(msg)
    return ObjectLock(files)


def break_lock(files: Files) -> None:
    """Remove the lock of a builder that is known to be dead. A local lock goes with its process by itself."""
    if not isinstance(files, LocalFiles):
        files.delete(LOCK)


class FileLock:
    """A lock that the system keeps on a file."""

    def __init__(self, files: LocalFiles) -> None:
        self._files = files
        self._file: FileIO | None = None

    def take(self) -> None:
        path = self._files.root / LOCK
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as given_up, naming(path):
            file = given_up.enter_context(FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+"))
            if not lock_descriptor(file.fileno(), blocking=False):
                owner = describe(file.read())
                msg = f"{self._files.url} is being built by {owner}: wait for it to end, or stop it"
                raise StoreLockedError(msg)
            file.truncate(0)
            file.write(signature())
            given_up.pop_all()
        self._file = file

    def release(self) -> None:
        assert self._file is not None
        with naming(self._files.root / LOCK), self._file as file:
            self._file = None
            file.truncate(0)

    def check(self) -> None:
        assert self._file is not None
