"""Rows of a store's array, one inner chunk each, decoded straight into place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import StoreFormatError
from fve_pipeline.store.codec import ChunkCodec
from fve_pipeline.store.files import Buffer, Files
from fve_pipeline.store.layout import Member, shard_key
from fve_pipeline.store.opened import OpenShards

__all__ = ["Rows"]

_AT_ONCE = 16  # rows read from the disk together: an encoding of order 3 needs 15


class Rows:
    """The first ``n`` rows of an array of one chunk a row, ``shard_samples`` rows a shard.

    Each read is one decode into the result, with the interpreter lock released, its crc32c checked before. The
    indexes of 16,384 shards are kept (16 bytes a sample) and 16 chunks a thread; nothing decoded is.
    Picklable; safe across threads and forks.
    """

    def __init__(self, files: Files, member: Member, n: int, shard_samples: int, codec: ChunkCodec) -> None:
        self.shape = (n, *codec.shape[1:])
        self.dtype = codec.dtype
        self._member: Member = member
        self._url = files.url
        self._per_shard = shard_samples
        self._codec = codec
        self._shards = OpenShards(files, shard_samples)

    def read(self, start: int, stop: int, out: np.ndarray | None = None) -> np.ndarray:
        """Rows ``start`` to ``stop``, which must lie within the array."""
        return self.take(range(start, stop), out)

    def take(self, rows: Sequence[int], out: np.ndarray | None = None) -> np.ndarray:
        """The rows, in any order, into ``out`` when it is given.

        Raises IndexError for a row outside, StoreFormatError naming the file for a damaged one.
        """
        shape = (len(rows), *self.shape[1:])
        if out is None:
            out = np.empty(shape, self.dtype)
        elif out.shape != shape or out.dtype != self.dtype or not out.flags.c_contiguous:
            msg = f"out must be C-contiguous {shape} {self.dtype}; it is {out.shape} {out.dtype}"
            raise ValueError(msg)
        flat = out.reshape(-1).view(np.uint8)
        start, size = 0, self._codec.nbytes
        for stop in range(1, len(rows) + 1):
            if stop == len(rows) or not self._follows(rows[stop - 1], rows[stop]) or stop - start == _AT_ONCE:
                self._decode_run(rows[start], flat[start * size : stop * size])
                start = stop
        return out

    def decode(self, row: int, out: NDArray[np.uint8]) -> None:
        """One row into its bytes, contiguous and as many as they are. Raises as ``take`` does."""
        key, place = self._find(row)
        self._decode(row, key, self._shards.chunk(key, place), out)

    def _decode_run(self, first: int, out: NDArray[np.uint8]) -> None:
        """Rows of one shard, from ``first`` on, into their bytes."""
        size = self._codec.nbytes
        n = len(out) // size
        if n == 1:
            self.decode(first, out)
            return
        self._find(first + n - 1)
        key, place = self._find(first)
        for i, chunk in enumerate(self._shards.chunks(key, place, n)):
            self._decode(first + i, key, chunk, out[i * size : (i + 1) * size])

    def _follows(self, row: int, other: int) -> bool:
        """Whether the next row of the same shard is the other."""
        return other == row + 1 and other % self._per_shard != 0

    def _find(self, row: int) -> tuple[str, int]:
        """Key of the row's shard, and its place there."""
        if not 0 <= row < self.shape[0]:
            msg = f"row {row} is outside the {self.shape[0]} rows of {self._url}/{self._member}"
            raise IndexError(msg)
        number, place = divmod(row, self._per_shard)
        return shard_key(self._member, number), place

    def _decode(self, row: int, key: str, chunk: Buffer | None, out: NDArray[np.uint8]) -> None:
        if chunk is None:
            msg = f"{self._url}/{key} does not hold row {row}: the shard is missing or truncated"
            raise StoreFormatError(msg)
        try:
            self._codec.decode_bytes(chunk, out)
        except StoreFormatError as error:
            error.add_note(f"in row {row}, {self._url}/{key}; fve encode --repair builds that shard again")
            raise
