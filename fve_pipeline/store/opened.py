"""Open shards, and reading their chunks, in whatever process and thread they are used."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict

from fve_pipeline.store.files import Buffer, Files
from fve_pipeline.store.shard import ShardFile

__all__ = ["OpenShards"]


class OpenShards:
    """Chunks of shards, whose checked indexes are kept for the last ``limit`` of them: 16 bytes a sample.

    Threads share it. A pickled or forked copy starts empty, so no lock or handle of the parent is used.
    """

    def __init__(self, files: Files, capacity: int, limit: int = 1 << 14) -> None:
        self._files = files
        self._capacity = capacity
        self._limit = limit
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._local = threading.local()
        self._open: OrderedDict[str, ShardFile | None] = OrderedDict()

    def __reduce__(self) -> tuple[type[OpenShards], tuple[Files, int, int]]:
        return OpenShards, (self._files, self._capacity, self._limit)

    def chunk(self, key: str, place: int) -> Buffer | None:
        """Encoded bytes of one chunk, None when it or its shard is not there.

        They may lie in memory that the next chunk of this thread is read into. Raises StoreFormatError when the
        shard's index is damaged or the file was cut short.
        """
        return self.chunks(key, place, 1)[0]

    def chunks(self, key: str, place: int, n: int) -> list[Buffer | None]:
        """``n`` chunks of one shard, from ``place`` on, as ``chunk`` gives one."""
        shard = self._get(key)
        return [None] * n if shard is None else shard.chunks(place, n, self._memory)

    def _memory(self, size: int) -> memoryview:
        held: memoryview | None = getattr(self._local, "memory", None)
        if held is None or len(held) < size:
            held = self._local.memory = memoryview(bytearray(size + size // 4))
        return held[:size]

    def _get(self, key: str) -> ShardFile | None:
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
