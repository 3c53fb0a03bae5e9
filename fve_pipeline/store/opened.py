"""Open shards, and reading their chunks, in whatever process and thread they are used."""

from __future__ import annotations

import os
import threading

from fve_pipeline.files.base import Buffer, ReadableFiles
from fve_pipeline.store.shard import ShardFile

__all__ = ["OpenShards"]


class OpenShards:
    """Chunks of shards, whose checked indexes are kept for the ``limit`` opened last: 16 bytes a sample.

    Threads share it, and reading what is open takes no lock. A pickled copy starts empty; a forked one reads on
    from the parent's files, at places of its own.
    """

    def __init__(self, files: ReadableFiles, capacity: int, limit: int = 1 << 14) -> None:
        self._files = files
        self._capacity = capacity
        self._limit = limit
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._open: dict[str, ShardFile | None] = {}

    def __reduce__(self) -> tuple[type[OpenShards], tuple[ReadableFiles, int, int]]:
        return OpenShards, (self._files, self._capacity, self._limit)

    def chunk(self, key: str, place: int) -> Buffer | None:
        """Return the encoded bytes of one chunk, None when it or its shard is not there.

        Raises StoreFormatError when the shard's index is damaged or the file was cut short.
        """
        shard = self._shard(key)
        return None if shard is None else shard.chunk(place)

    def _shard(self, key: str) -> ShardFile | None:
        try:
            return self._open[key]
        except KeyError:
            return self._open_shard(key)

    def _open_shard(self, key: str) -> ShardFile | None:
        if self._pid != os.getpid():  # a lock that a thread of the parent held is never released here
            self._pid, self._lock = os.getpid(), threading.Lock()
        shard: ShardFile | None
        try:
            shard = ShardFile(self._files, key, self._capacity)
        except FileNotFoundError:
            shard = None
        with self._lock:
            self._open[key] = shard
            if len(self._open) > self._limit:
                del self._open[next(iter(self._open))]
        return shard
