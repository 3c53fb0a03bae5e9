"""A committed store as zarr-python sees it: what it reads is what the manifest lists."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Self

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from fve_pipeline.files.base import ReadableFiles
from fve_pipeline.store.committed import CommittedFiles

__all__ = ["CommittedZarr"]


class CommittedZarr(WrapperStore[Store]):
    """A read-only zarr store whose reads go through ``files``; the rest is the wrapped store's."""

    def __init__(self, store: Store, files: CommittedFiles) -> None:
        super().__init__(store)
        self._files = files

    def _with_store(self, store: Store) -> Self:
        return type(self)(store, self._files)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return a file, or the part of it that is asked for; None when there is none."""
        return await asyncio.to_thread(self._get, key, prototype, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return a part of each file, as ``get`` does."""
        return await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges))

    def _get(self, key: str, prototype: BufferPrototype, part: ByteRequest | None) -> Buffer | None:
        try:
            data = self._files.look(key, lambda files, place: _part(files, place, part))
        except FileNotFoundError:
            return None
        return prototype.buffer.from_bytes(data)


def _part(files: ReadableFiles, key: str, part: ByteRequest | None) -> bytes:
    if part is None:
        return files.read(key)
    if isinstance(part, RangeByteRequest):
        return files.read_range(key, part.start, part.end - part.start)
    size = files.size(key)
    if isinstance(part, OffsetByteRequest):
        return files.read_range(key, part.offset, max(0, size - part.offset))
    assert isinstance(part, SuffixByteRequest)
    length = min(size, part.suffix)
    return files.read_range(key, size - length, length)
