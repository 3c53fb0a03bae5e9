"""Open shards, kept within limits, in whatever process they are used."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict

from fve_pipeline.store.files import Files
from fve_pipeline.store.shard import ShardFile

__all__ = ["OpenShards"]


class OpenShards:
    """Shards opened before: their indexes kept, of the last ``limit`` shards, the first ``maps`` of them mapped.

    Shards beyond those are read chunk by chunk: remapping costs more than it saves (a random sample of a store
    of 500 shards took twice as long), and mappings hold file handles. An index takes 16 bytes a sample.
    Threads share it. A pickled or forked copy starts empty, so no lock or handle of the parent is used.
    """

    def __init__(self, files: Files, capacity: int, maps: int = 128, limit: int = 1 << 14) -> None:
        self._files = files
        self._capacity = capacity
        self._maps = maps
        self._limit = limit
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._mapped = 0
        self._open: OrderedDict[str, ShardFile | None] = OrderedDict()

    def __reduce__(self) -> tuple[type[OpenShards], tuple[Files, int, int, int]]:
        return OpenShards, (self._files, self._capacity, self._maps, self._limit)

    def get(self, key: str) -> ShardFile | None:
        """The shard, None when there is no such file. Raises StoreFormatError when its index is damaged."""
        if self._pid != os.getpid():
            self._start()
        with self._lock:
            if key in self._open:
                self._open.move_to_end(key)
                return self._open[key]
            mapped = self._mapped < self._maps
            self._mapped += mapped
        shard: ShardFile | None
        try:
            shard = ShardFile(self._files, key, self._capacity, mapped)
        except FileNotFoundError:
            shard = None
        with self._lock:
            self._open[key] = shard
            if len(self._open) > self._limit:
                self._open.popitem(last=False)
        return shard
