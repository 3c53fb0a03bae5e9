"""How one inner chunk becomes bytes: compression, then a crc32c that guards it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import zstandard
from crc32c import crc32c
from numcodecs import blosc
from numpy.typing import NDArray

from fve_pipeline.errors import StoreFormatError
from fve_pipeline.files.base import Buffer

__all__ = ["ChunkCodec", "CodecName", "checked_payload"]

CodecName = Literal["lz4", "zstd", "none"]

# Blosc's own threads write their blocks in the order in which they finish, so bytes would differ from run to
# run; and with them it keeps the interpreter lock while it works.
blosc.use_threads = False

_LZ4_LEVEL = 5
_CRC_BYTES = 4
_PROBE = 4099  # a prime: no row's or plane's length

_local = threading.local()


def checked_payload(data: Buffer) -> memoryview:
    """Return a chunk's bytes without the crc32c at their end. Raises StoreFormatError when they are damaged."""
    size = len(data) - _CRC_BYTES
    if size <= 0:
        msg = f"a chunk has {len(data)} bytes, too few to hold data and a checksum"
        raise StoreFormatError(msg)
    payload = memoryview(data)[:size]
    stored, computed = int.from_bytes(data[size:], "little"), crc32c(payload)
    if stored != computed:
        msg = f"a chunk's crc32c is {computed:#010x} where {stored:#010x} is stored: its bytes are damaged"
        raise StoreFormatError(msg)
    return payload


@dataclass(frozen=True)
class ChunkCodec:
    """Codec chain of the chunks of one array: little-endian bytes, compression by name, crc32c.

    ``lz4`` is blosc-lz4 without shuffle and typesize 1, ``zstd`` is zstd at ``level``, ``none`` stores the
    bytes as they are (a reader then needs no decompressor). ``shape`` and ``dtype`` are every chunk's.
    Encoding and decoding release the interpreter lock while they compress.
    """

    name: CodecName
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    level: int = 1
    nbytes: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        dtype = np.dtype(self.dtype).newbyteorder("<")
        object.__setattr__(self, "dtype", dtype)
        object.__setattr__(self, "nbytes", int(np.prod(self.shape, dtype=np.int64)) * dtype.itemsize)

    def encode_chunk(self, array: np.ndarray) -> bytes:
        """Return the bytes of one chunk. Raises ValueError for another shape or a dtype that would be cast with loss."""
        if array.shape != self.shape:
            msg = f"a chunk of shape {array.shape} was given where the array's chunks are {self.shape}"
            raise ValueError(msg)
        plain = np.ascontiguousarray(array.astype(self.dtype, casting="safe", copy=False))
        raw = plain.reshape(-1).view(np.uint8)
        # An image shows itself in a few bytes from all over it; only where they are 0 is every byte looked at.
        if raw[::_PROBE].any() or raw.any():
            return self._encode(raw)
        return _blank(self)  # most masks of a lesion's data set

    def _encode(self, raw: NDArray[np.uint8]) -> bytes:
        if self.name == "lz4":
            payload = blosc.compress(raw, b"lz4", _LZ4_LEVEL, blosc.NOSHUFFLE, 0, 1)
        elif self.name == "zstd":
            payload = _compressor(self.level).compress(raw.data)
        else:
            payload = raw.tobytes()
        return bytes(payload) + crc32c(payload).to_bytes(_CRC_BYTES, "little")

    def decode_chunk(self, data: Buffer, out: np.ndarray | None = None) -> np.ndarray:
        """Return the array of one chunk, in ``out`` (C-contiguous, of its size and dtype) when it is given.

        Raises StoreFormatError when the checksum disagrees or the payload is not what the codec writes.
        """
        if out is None:
            out = np.empty(self.shape, self.dtype)
        if out.nbytes != self.nbytes or not out.flags.c_contiguous:
            msg = f"out must be C-contiguous with {self.nbytes} bytes; it has shape {out.shape}, {out.dtype}"
            raise ValueError(msg)
        self.decode_bytes(data, out.reshape(-1).view(np.uint8))
        return out

    def decode_bytes(self, data: Buffer, out: NDArray[np.uint8]) -> None:
        """Decode a chunk as ``decode_chunk`` does, into ``out`` (nbytes,), which is not checked."""
        payload = checked_payload(data)
        try:
            self._decompress(payload, out)
        except (RuntimeError, ValueError, zstandard.ZstdError) as error:
            msg = f"a chunk with a right checksum is not {self.name} of {self.nbytes} bytes: {error}"
            raise StoreFormatError(msg) from error

    def _decompress(self, payload: memoryview, out: NDArray[np.uint8]) -> None:
        # The decompressors take a payload that fills only a part of what is asked for.
        stored = self._content_size(payload)
        if stored != len(out):
            msg = f"it holds {stored} bytes"
            raise ValueError(msg)
        if self.name == "lz4":
            blosc.decompress(payload, out)
        elif self.name == "zstd":
            _decompress_zstd(payload, out)
        else:
            out[:] = np.frombuffer(payload, np.uint8)

    def _content_size(self, payload: memoryview) -> int:
        """Decompressed length, as the first bytes of a payload say."""
        if self.name == "none":
            return len(payload)
        if self.name == "lz4":
            return int.from_bytes(payload[4:8], "little")
        # zstd's frame header: magic (4), descriptor (1), window unless in a single segment (1), content size.
        head = payload[4] if len(payload) > 4 else 0
        width = (1, 2, 4, 8)[head >> 6]
        start = 5 if head & 0x20 else 6
        return int.from_bytes(payload[start : start + width], "little") + (256 if width == 2 else 0)

    def zarr_metadata(self) -> list[dict[str, Any]]:
        """Return the chain as zarr v3 metadata lists it."""
        single = self.dtype.itemsize == 1
        chain: list[dict[str, Any]] = [
            {"name": "bytes"} if single else {"name": "bytes", "configuration": {"endian": "little"}}
        ]
        if self.name == "lz4":
            configuration = {
                "typesize": 1,
                "cname": "lz4",
                "clevel": _LZ4_LEVEL,
                "shuffle": "noshuffle",
                "blocksize": 0,
            }
            chain.append({"name": "blosc", "configuration": configuration})
        elif self.name == "zstd":
            chain.append({"name": "zstd", "configuration": {"level": self.level, "checksum": False}})
        return [*chain, {"name": "crc32c"}]


@lru_cache(maxsize=8)
def _blank(codec: ChunkCodec) -> bytes:
    """Return the chunk of zeros, which is made once: to look for it takes a tenth of the time of compressing it."""
    return codec._encode(np.zeros(codec.nbytes, np.uint8))


def _compressor(level: int) -> zstandard.ZstdCompressor:
    """One that the thread keeps: the tables of a new one are fresh memory, which costs more than they save."""
    try:
        kept: dict[int, zstandard.ZstdCompressor] = _local.compressors
    except AttributeError:
        kept = _local.compressors = {}
    if level not in kept:
        kept[level] = zstandard.ZstdCompressor(level)
    return kept[level]


def _decompress_zstd(payload: memoryview, out: NDArray[np.uint8]) -> None:
    """With a decompressor that the thread keeps: making one costs as much as a mask takes."""
    try:
        decompressor = _local.zstd
    except AttributeError:
        decompressor = _local.zstd = zstandard.ZstdDecompressor()
    found = decompressor.stream_reader(payload).readinto(out)
    if found != len(out):
        msg = f"it ends after {found} bytes"
        raise ValueError(msg)
