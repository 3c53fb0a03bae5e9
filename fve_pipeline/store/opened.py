"""Open shards, kept within a limit, in whatever process they are used."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict

from fve_pipeline.store.files import Files
from fve_pipeline.store.shard import ShardFile

__all__ = ["OpenShards"]


class OpenShards:
    """The shards read last, open: at most ``limit`` of them, each one mapping and one file handle.

    Threads share it. A pickled or forked copy starts empty, so no lock or handle of the parent is used.
    """

    def __init__(self, files: Files, capacity: int, limit: int = 128) -> None:
        self._files = files
        self._capacity = capacity
        self._limit = limit
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._open: OrderedDict[str, ShardFile | None] = OrderedDict()

    def __reduce__(self) -> tuple[type[OpenShards], tuple[Files, int, int]]:
        return OpenShards, (self._files, self._capacity, self._limit)

    def get(self, key: str) -> ShardFile | None:
        """The shard, None when there is no such file. Raises StoreFormatError when its index is damaged."""
        if self._pid != os.getpid():
            self._start()
        with self._lock:
            if key in self._open:
                self._open.move_to_end(key)
                return self._open[key]
        shard: ShardFile | None
        try:
            shard = ShardFile(self._files, key, self._capacity)
        except FileNotFoundError:
            shard = None
        with self._lock:
            self._open[key] = shard
            if len(self._open) > self._limit:
                self._open.popitem(last=False)
        return shard
