"""Rows of a store's array, one inner chunk each, decoded straight into place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import StoreFormatError
from fve_pipeline.files.base import Buffer, ReadableFiles
from fve_pipeline.store.codec import ChunkCodec
from fve_pipeline.store.layout import Member, shard_key
from fve_pipeline.store.opened import OpenShards

__all__ = ["Rows"]


class Rows:
    """The first ``n`` rows of an array of one chunk a row, ``shard_samples`` rows a shard.

    Each read is one decode from the mapped shard into the result, its crc32c checked before, both with the
    interpreter lock released. The indexes of 16,384 shards are kept (16 bytes a sample); nothing decoded is.
    Picklable; safe across threads and forks.
    """

    def __init__(
        self, files: ReadableFiles, member: Member, n: int, shard_samples: int, codec: ChunkCodec
    ) -> None:
        self.shape = (n, *codec.shape[1:])
        self.dtype = codec.dtype
        self._member: Member = member
        self._url = files.url
        self._per_shard = shard_samples
        self._codec = codec
        self._shards = OpenShards(files, shard_samples)

    def read(self, start: int, stop: int, out: np.ndarray | None = None) -> np.ndarray:
        """Return rows ``start`` to ``stop``, which must lie within the array."""
        return self.take(range(start, stop), out)

    def take(self, rows: Sequence[int], out: np.ndarray | None = None) -> np.ndarray:
        """Return the rows, in any order, in ``out`` when it is given.

        Raises IndexError for a row outside, StoreFormatError naming the file for a damaged one.
        """
        shape = (len(rows), *self.shape[1:])
        if out is None:
            out = np.empty(shape, self.dtype)
        elif out.shape != shape or out.dtype != self.dtype or not out.flags.c_contiguous:
            msg = f"out must be C-contiguous {shape} {self.dtype}; it is {out.shape} {out.dtype}"
            raise ValueError(msg)
        flat = out.reshape(-1).view(np.uint8)
        size = self._codec.nbytes
        for i, row in enumerate(rows):
            self.decode(row, flat[i * size : (i + 1) * size])
        return out

    def decode(self, row: int, out: NDArray[np.uint8]) -> None:
        """Decode one row into its bytes, contiguous and as many as they are. Raises as ``take`` does."""
        chunk = self.encoded(row)
        try:
            self._codec.decode_bytes(chunk, out)
        except StoreFormatError as error:
            key = shard_key(self._member, row // self._per_shard)
            error.add_note(f"in row {row}, {self._url}/{key}; fve encode --repair builds that shard again")
            raise

    def encoded(self, row: int) -> Buffer:
        """Return one row as it is stored, its checksum last. Raises as ``take`` does, but for damage within it."""
        if not 0 <= row < self.shape[0]:
            msg = f"row {row} is outside the {self.shape[0]} rows of {self._url}/{self._member}"
            raise IndexError(msg)
        number, place = divmod(row, self._per_shard)
        key = shard_key(self._member, number)
        chunk = self._shards.chunk(key, place)
        if chunk is None:
            msg = f"{self._url}/{key} does not hold row {row}: the shard is missing or truncated"
            raise StoreFormatError(msg)
        return chunk
