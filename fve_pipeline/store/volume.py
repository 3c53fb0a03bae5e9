"""Writing one volume as a zarr array of a single shard, and the groups that hold such arrays."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fve_pipeline.files.base import Files
from fve_pipeline.store.codec import ChunkCodec, CodecName
from fve_pipeline.store.metadata import array_document, group_document, to_json
from fve_pipeline.store.shard import shard_pieces

__all__ = ["INNER_CHUNK", "write_group", "write_slabs", "write_volume"]

#: Of a prepared volume, (z,y,x), clipped to it. Slabs to be written are as many slices long.
INNER_CHUNK = (16, 256, 256)


def write_volume(
    files: Files,
    path: str,
    array: np.ndarray,
    *,
    codec: CodecName = "lz4",
    inner: tuple[int, int, int] = INNER_CHUNK,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write a volume (z, y, x), uint8 or uint16, as one array of a single shard, as :func:`write_slabs` does."""
    slabs = (array[first : first + inner[0]] for first in range(0, len(array), inner[0]))
    write_slabs(files, path, array.shape, array.dtype, slabs, codec=codec, inner=inner, attributes=attributes)


def write_slabs(
    files: Files,
    path: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    slabs: Iterable[np.ndarray],
    *,
    codec: CodecName = "lz4",
    inner: tuple[int, int, int] = INNER_CHUNK,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write a volume (z, y, x) that comes in slabs of ``inner[0]`` slices as one array of a single shard.

    Inner chunks are ``inner`` clipped to the volume, so that slabs along any axis read little more than they
    need. The metadata is written last: an array that opens is whole.
    """
    chunk_shape = tuple(min(n, size) for n, size in zip(inner, shape, strict=True))
    chunk_codec = ChunkCodec(codec, chunk_shape, dtype)
    counts = [-(-size // n) for size, n in zip(shape, chunk_shape, strict=True)]
    shard_shape = [count * n for count, n in zip(counts, chunk_shape, strict=True)]
    key = "/".join([path, "c", *("0" for _ in counts)])
    # No sum: what is prepared is guarded by its chunks' checksums.
    files.write_atomic(key, shard_pieces(_chunks(slabs, chunk_codec, counts), int(np.prod(counts))))
    document = array_document(shape, shard_shape, chunk_codec, ("z", "y", "x"), attributes or {})
    files.write_atomic(f"{path}/zarr.json", [to_json(document)])


def _chunks(slabs: Iterable[np.ndarray], codec: ChunkCodec, counts: Sequence[int]) -> Iterator[bytes]:
    for slab in slabs:
        for grid in itertools.product(*map(range, counts[1:])):
            rows = (slice(g * n, (g + 1) * n) for g, n in zip(grid, codec.shape[1:], strict=True))
            part = slab[:, *rows]
            if part.shape != codec.shape:  # zarr's chunks are whole at the edges too
                part = np.pad(part, [(0, n - size) for n, size in zip(codec.shape, part.shape, strict=True)])
            yield codec.encode_chunk(part)


def write_group(files: Files, path: str, attributes: Mapping[str, Any]) -> None:
    """Write the metadata of a group at ``path`` ("" for the root), with its attributes."""
    key = f"{path}/zarr.json" if path else "zarr.json"
    files.write_atomic(key, [to_json(group_document(attributes))])
