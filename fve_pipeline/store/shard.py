"""Shards of zarr v3's ``sharding_indexed``: written as a stream, read chunk by chunk.

A shard is its chunks one after another in C order, then an index of (offset, length) pairs, one for each
place in the shard, uint64 little-endian, then the index's crc32c. A place without a
chunk is (2^64-1, 2^64-1).
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from fve_pipeline.errors import StoreFormatError
from fve_pipeline.store.codec import crc32c
from fve_pipeline.store.files import Buffer, Files

__all__ = ["FileSum", "ShardFile", "copy_chunks", "write_file", "write_shard"]

_MISSING = 2**64 - 1


class FileSum(BaseModel):
    """One file of a store: its key, length in bytes and sha256 (hex)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    size: int
    sha256: str


def write_file(files: Files, key: str, pieces: Iterable[Buffer]) -> FileSum:
    """Write a file atomically and return its size and sha256, computed on the way."""
    digest = hashlib.sha256()
    size = 0

    def summed() -> Iterator[Buffer]:
        nonlocal size
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            yield piece

    files.write_atomic(key, summed())
    return FileSum(key=key, size=size, sha256=digest.hexdigest())


def write_shard(files: Files, key: str, chunks: Iterable[Buffer], capacity: int) -> FileSum:
    """Write one shard of ``capacity`` places from its encoded chunks, in order, empty chunks included.

    The chunks are streamed: no more than one is held. Fewer than ``capacity`` leave the last places missing,
    as at the end of an array. Raises ValueError when there are more.
    """
    return write_file(files, key, _shard_pieces(chunks, capacity))


def _shard_pieces(chunks: Iterable[Buffer], capacity: int) -> Iterator[Buffer]:
    index = np.full((capacity, 2), _MISSING, "<u8")
    offset = 0
    for place, chunk in enumerate(chunks):
        if place >= capacity:
            msg = f"a shard of {capacity} places was given more chunks than that"
            raise ValueError(msg)
        index[place] = offset, len(chunk)
        offset += len(chunk)
        yield chunk
    encoded = index.tobytes()
    yield encoded + crc32c(encoded).to_bytes(4, "little")


class ShardFile:
    """One shard open for reading. Safe to use from several threads; not to be pickled.

    A local shard is mapped into memory if it is to be ``mapped``, so that reading a chunk copies nothing;
    otherwise each chunk is one ranged read, and no handle is kept. The index is checked against its crc32c and
    against the file's size when opened.
    """

    def __init__(self, files: Files, key: str, capacity: int, mapped: bool = True) -> None:
        self.name = f"{files.url}/{key}"
        self._files = files
        self._key = key
        self._map: memoryview | None = None
        path = files.local_path(key) if mapped else None
        tail = 16 * capacity + 4
        if path is None:
            size = files.size(key)
            index = files.read_range(key, max(0, size - tail), tail)
        else:
            with open(path, "rb") as file:
                size = file.seek(0, 2)
                if size:  # an empty file cannot be mapped
                    self._map = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            index = bytes(self._map[-tail:]) if self._map is not None else b""
        self._places = self._check(index, size, capacity)

    def _check(self, index: bytes, size: int, capacity: int) -> NDArray[np.uint64]:
        """(offset, length) of each place."""
        expected = 16 * capacity + 4
        if len(index) != expected:
            msg = (
                f"{self.name} has {size} bytes, fewer than the index of {capacity} places takes ({expected})"
            )
            raise StoreFormatError(msg)
        if crc32c(index[:-4]) != int.from_bytes(index[-4:], "little"):
            msg = f"{self.name}: the shard's index does not match its crc32c: damaged or truncated"
            raise StoreFormatError(msg)
        pairs = np.frombuffer(index, "<u8", 2 * capacity).reshape(capacity, 2)
        room = np.uint64(size - expected)
        offsets, lengths = pairs[:, 0], pairs[:, 1]
        # Compared one by one, since a sum may pass 2^64.
        outside = (offsets != _MISSING) & ((offsets > room) | (lengths > room) | (offsets + lengths > room))
        if outside.any():
            offset, length = pairs[outside.argmax()].tolist()
            msg = f"{self.name}: the index has a chunk at {offset}+{length}, outside the {size} bytes"
            raise StoreFormatError(msg)
        return pairs

    @property
    def n_chunks(self) -> int:
        """How many places hold a chunk."""
        return int((self._places[:, 0] != _MISSING).sum())

    def place(self, i: int) -> tuple[int, int] | None:
        """Offset and length of chunk ``i`` in the file, or None when the place is empty."""
        offset, length = self._places[i].tolist()
        return None if offset == _MISSING else (offset, length)

    def chunk(self, i: int) -> Buffer | None:
        """Encoded bytes of chunk ``i``, or None when the place is empty."""
        place = self.place(i)
        if place is None:
            return None
        offset, length = place
        if self._map is not None:
            return self._map[offset : offset + length]
        found = self._files.read_range(self._key, offset, length)
        if len(found) != length:
            msg = f"{self.name} was cut short: of {length} bytes at {offset} it holds {len(found)}"
            raise StoreFormatError(msg)
        return found


def copy_chunks(shard: ShardFile, n: int) -> Iterator[Buffer]:
    """The first ``n`` chunks as they are, for a successor that holds them and more.

    Raises StoreFormatError when one of them is missing.
    """
    for i in range(n):
        chunk = shard.chunk(i)
        if chunk is None:
            msg = f"{shard.name} has no chunk {i}, but {n} rows were committed in it"
            raise StoreFormatError(msg)
        yield chunk
