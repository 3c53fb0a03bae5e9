"""Rows of a store's array, one inner chunk each, decoded straight into place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fve_pipeline.errors import StoreFormatError
from fve_pipeline.store.codec import ChunkCodec
from fve_pipeline.store.files import Files
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
        start = 0
        for stop in range(1, len(rows) + 1):
            if stop == len(rows) or not self._follows(rows[stop - 1], rows[stop]) or stop - start == _AT_ONCE:
                self._decode(rows[start], out[start:stop])
                start = stop
        return out

    def _follows(self, row: int, other: int) -> bool:
        """Whether the next row of the same shard is the other."""
        return other == row + 1 and other % self._per_shard != 0

    def _decode(self, first: int, out: np.ndarray) -> None:
        """Rows of one shard, from ``first`` on."""
        if not 0 <= first <= self.shape[0] - len(out):
            row = first if first < 0 else max(first, self.shape[0])
            msg = f"row {row} is outside the {self.shape[0]} rows of {self._url}/{self._member}"
            raise IndexError(msg)
        number, place = divmod(first, self._per_shard)
        key = shard_key(self._member, number)
        for i, chunk in enumerate(self._shards.chunks(key, place, len(out))):
            if chunk is None:
                msg = f"{self._url}/{key} does not hold row {first + i}: the shard is missing or truncated"
                raise StoreFormatError(msg)
            try:
                self._codec.decode_chunk(chunk, out[i])
            except StoreFormatError as error:
                error.add_note(
                    f"in row {first + i}, {self._url}/{key}; fve encode --repair builds that shard again"
                )
                raise
