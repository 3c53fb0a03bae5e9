"""Shards of zarr v3's ``sharding_indexed``: written as a stream, read chunk by chunk.

A shard is its chunks one after another in C order, then an index of (offset, length) pairs, one for each
place in the shard, uint64 little-endian, then the index's crc32c. A place without a
chunk is (2^64-1, 2^64-1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Annotated

import numpy as np
from crc32c import crc32c
from pydantic import BaseModel, ConfigDict, Field

from fve_pipeline.errors import StoreFormatError
from fve_pipeline.files.base import Buffer, Files, ReadableFiles
from fve_pipeline.store.codec import checked_payload
from fve_pipeline.store.layout import Key

__all__ = [
    "FileSum",
    "Sha256",
    "ShardFile",
    "copy_chunks",
    "first_rows",
    "shard_pieces",
    "write_file",
    "write_shard",
]

_MISSING = 2**64 - 1

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FileSum(BaseModel):
    """One file of a store: its key, length in bytes and sha256 (hex)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Key
    size: Annotated[int, Field(ge=0)]
    sha256: Sha256


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
    return write_file(files, key, shard_pieces(chunks, capacity))


def shard_pieces(chunks: Iterable[Buffer], capacity: int) -> Iterator[Buffer]:
    """Yield the bytes of a shard piece by piece, as :func:`write_shard` writes them."""
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

    A local file stays open as long as the process can well afford it; otherwise each chunk is one ranged read
    that opens it again. The index is checked against its crc32c and against the file's size when opened.
    """

    def __init__(self, files: ReadableFiles, key: str, capacity: int) -> None:
        self.name = f"{files.url}/{key}"
        self._files = files
        self._key = key
        self._kept = files.mapped(key)
        size = files.size(key) if self._kept is None else self._kept.size
        tail = min(size, 16 * capacity + 4)
        self._places = self._check(bytes(self._read(size - tail, tail)), size, capacity)

    def _check(self, index: bytes, size: int, capacity: int) -> memoryview:
        """Offset and length of each place, one after another."""
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
        return pairs.astype(np.uint64).reshape(-1).data

    @property
    def n_chunks(self) -> int:
        """How many places hold a chunk."""
        return sum(offset != _MISSING for offset in self._places[::2])

    def chunk(self, i: int) -> Buffer | None:
        """Return the encoded bytes of chunk ``i``, None when the place is empty.

        Raises StoreFormatError when the file was cut short after it was opened.
        """
        offset = self._places[2 * i]
        return None if offset == _MISSING else self._read(offset, self._places[2 * i + 1])

    def _read(self, start: int, length: int) -> Buffer:
        kept = self._kept
        data = self._files.read_range(self._key, start, length) if kept is None else kept.read(start, length)
        if len(data) != length:
            msg = f"{self.name} was cut short: of {length} bytes at {start} it holds {len(data)}"
            raise StoreFormatError(msg)
        return data


def first_rows(files: ReadableFiles, key: str, capacity: int, n: int) -> bytes:
    """Return the shard that held only the first ``n`` chunks of this one, byte for byte.

    Raises StoreFormatError when the shard is damaged or does not hold so many.
    """
    return b"".join(shard_pieces(copy_chunks(ShardFile(files, key, capacity), n), capacity))


def copy_chunks(shard: ShardFile, n: int) -> Iterator[Buffer]:
    """Yield the first ``n`` chunks as they are, for a successor that holds them and more.

    Raises StoreFormatError when one of them is missing or its crc32c disagrees.
    """
    for i in range(n):
        chunk = shard.chunk(i)
        if chunk is None:
            msg = f"{shard.name} has no chunk {i}, but {n} rows were committed in it"
            raise StoreFormatError(msg)
        try:
            checked_payload(chunk)
        except StoreFormatError as error:
            msg = f"{shard.name}, chunk {i}: {error}; fve encode --repair builds the shard again"
            raise StoreFormatError(msg) from error
        yield chunk
