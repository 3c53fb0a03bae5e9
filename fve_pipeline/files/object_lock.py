"""The lock of a store in an object store: an object that only one can create."""

from __future__ import annotations

import json
import threading
import time

from fve_pipeline.errors import StoreError, StoreLockedError
from fve_pipeline.files.owner import LOCK, describe, signature, token
from fve_pipeline.files.remote import RemoteFiles

__all__ = ["ObjectLock"]


class ObjectLock:
    """Created on condition that there is none, renewed by a heartbeat on condition that it is still ours."""

    def __init__(self, files: RemoteFiles, heartbeat: float = 20.0) -> None:
        self._files = files
        self._heartbeat = heartbeat
        self._mark = ""
        self._version: str | None = None
        self._done = threading.Event()
        self._heart: threading.Thread | None = None

    def take(self) -> None:
        mine = signature()
        self._version = self._files.put_if(LOCK, mine, None)
        if self._version is None:
            content = self._files.read(LOCK)
            age = int(time.time()) - int(json.loads(content)["seen"])
            msg = (
                f"{self._files.url} is being built by {describe(content)}, last seen {age} s ago (it signs every "
                f"{self._heartbeat:.0f} s): wait for it to end, or, when it is dead for certain, --break-lock"
            )
            raise StoreLockedError(msg)
        self._mark = token(mine)
        self._done.clear()
        self._heart = threading.Thread(target=self._beat, name="store lock", daemon=True)
        self._heart.start()

    def _beat(self) -> None:
        since = int(time.time())
        while not self._done.wait(self._heartbeat):
            try:
                self._version = self._files.put_if(LOCK, signature(since, self._mark), self._version)
            except StoreError:
                continue  # the network may be back by the next time
            if self._version is None:
                return  # broken; check() says so before anything is committed

    def check(self) -> None:
        try:
            content = self._files.read(LOCK)
        except FileNotFoundError:
            content = b""
        if not content or token(content) != self._mark:
            now = f"and is held by {describe(content)} now" if content else "by someone"
            msg = f"{self._files.url}: the lock of this build was broken {now}; it may not commit"
            raise StoreLockedError(msg)

    def release(self) -> None:
        assert self._heart is not None
        self._done.set()
        self._heart.join()
        try:
            self.check()
        except StoreLockedError:
            return  # not ours to remove
        self._files.delete(LOCK)
