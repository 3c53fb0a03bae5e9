"""Reading a sharded array slab by slab, along any axis."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fve_pipeline.errors import StoreError, StoreFormatError
from fve_pipeline.files.base import Buffer, Files
from fve_pipeline.store.codec import ChunkCodec, CodecName
from fve_pipeline.store.metadata import array_document
from fve_pipeline.store.opened import OpenShards

__all__ = ["ShardedArray"]

Bounds = Sequence[tuple[int, int]]

_CODECS: tuple[CodecName, ...] = ("lz4", "zstd", "none")


class ShardedArray:
    """A sharded zarr v3 array, read without zarr-python where it is laid out as we write.

    ``shape``, ``dtype`` and ``attributes`` are the array's. Only the chunks that a slab touches are read and
    decoded. An array of another layout is read through zarr-python. Picklable; safe across threads and forks.
    Raises StoreError when there is no array at ``path``.
    """

    def __init__(self, files: Files, path: str) -> None:
        self._files = files
        self._path = path
        try:
            document = json.loads(files.read(f"{path}/zarr.json"))
        except FileNotFoundError as error:
            msg = f"there is no array at {files.url}/{path} (no zarr.json)"
            raise StoreError(msg) from error
        self.shape: tuple[int, ...] = tuple(document["shape"])
        self.dtype: np.dtype[Any] = np.dtype(document["data_type"])
        self.attributes: dict[str, Any] = document.get("attributes", {})
        self._codec = _known_codec(document)
        if self._codec is not None:
            shard_shape = document["chunk_grid"]["configuration"]["chunk_shape"]
            self._per_shard = [s // c for s, c in zip(shard_shape, self._codec.shape, strict=True)]
            self._shards = OpenShards(files, int(np.prod(self._per_shard)))

    def read(self, slices: slice | Sequence[slice] = (), out: np.ndarray | None = None) -> np.ndarray:
        """Return the slab, C-contiguous; axes without a slice are read whole. Slices have step 1.

        Raises StoreFormatError, naming file and chunk, when a checksum disagrees.
        """
        bounds = self._bounds((slices,) if isinstance(slices, slice) else tuple(slices))
        shape = tuple(stop - start for start, stop in bounds)
        if out is None:
            out = np.empty(shape, self.dtype)
        elif out.shape != shape or out.dtype != self.dtype:
            msg = f"out is {out.shape} {out.dtype}; the slab is {shape} {self.dtype}"
            raise ValueError(msg)
        if self._codec is None:
            out[...] = self._through_zarr(bounds)
            return out
        scratch = np.empty(self._codec.shape, self.dtype)
        for grid in _touched(bounds, self._codec.shape):
            self._read_chunk(self._codec, grid, bounds, out, scratch)
        return out

    def _bounds(self, slices: tuple[slice, ...]) -> Bounds:
        bounds = []
        for axis, n in enumerate(self.shape):
            start, stop, step = (slices[axis] if axis < len(slices) else slice(None)).indices(n)
            if step != 1:
                msg = f"slabs have step 1; axis {axis} was given {step}"
                raise ValueError(msg)
            bounds.append((start, max(start, stop)))
        return bounds

    def _read_chunk(
        self,
        codec: ChunkCodec,
        grid: tuple[int, ...],
        bounds: Bounds,
        out: np.ndarray,
        scratch: np.ndarray,
    ) -> None:
        """Decode the chunk at ``grid``, its place in the grid of chunks, into its part of ``out``."""
        target, source = [], []
        for g, size, (start, stop) in zip(grid, codec.shape, bounds, strict=True):
            low, high = max(start, g * size), min(stop, (g + 1) * size)
            target.append(slice(low - start, high - start))
            source.append(slice(low - g * size, high - g * size))
        place = out[tuple(target)]
        chunk = self._chunk(grid)
        if chunk is None:
            place[...] = 0
            return
        whole = place.shape == codec.shape and place.flags.c_contiguous
        try:
            codec.decode_chunk(chunk, place if whole else scratch)
        except StoreFormatError as error:
            error.add_note(f"in chunk {grid} of {self._files.url}/{self._path}")
            raise
        if not whole:
            place[...] = scratch[tuple(source)]

    def _chunk(self, grid: tuple[int, ...]) -> Buffer | None:
        position = [g // n for g, n in zip(grid, self._per_shard, strict=True)]
        # zarr leaves out a shard that holds the fill value alone; then there is no file.
        key = "/".join([self._path, "c", *map(str, position)])
        within = 0
        for g, n in zip(grid, self._per_shard, strict=True):
            within = within * n + g % n
        return self._shards.chunk(key, within)

    def _through_zarr(self, bounds: Bounds) -> Any:
        import zarr

        array = zarr.open_array(self._files.zarr_store(), path=self._path, mode="r")
        return array[tuple(slice(start, stop) for start, stop in bounds)]


def _known_codec(document: Mapping[str, Any]) -> ChunkCodec | None:
    """Return the chunks' codec when the array is laid out as ``array_document`` writes it, else None."""
    try:
        chunk_shape = document["codecs"][0]["configuration"]["chunk_shape"]
        shard_shape = document["chunk_grid"]["configuration"]["chunk_shape"]
    except (KeyError, IndexError):
        return None
    for name in _CODECS:
        codec = ChunkCodec(name, tuple(chunk_shape), np.dtype(document["data_type"]))
        ours = array_document(document["shape"], shard_shape, codec, (), {})
        keys = ("codecs", "chunk_grid", "chunk_key_encoding", "fill_value")
        if all(document.get(key) == ours[key] for key in keys):
            return codec
    return None


def _touched(bounds: Bounds, inner: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Places, in the grid of chunks, of those that a slab touches, in C order."""
    ranges = [
        range(start // n, -(-stop // n)) if stop > start else range(0)
        for (start, stop), n in zip(bounds, inner, strict=True)
    ]
    return itertools.product(*ranges)
