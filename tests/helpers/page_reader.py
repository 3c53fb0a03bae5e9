"""A reader of committed stores in one page, from docs/store-format.md: numpy and the standard library.

It reads arrays whose chunks are plain or blosc-lz4. For zstd the standard library has a decompressor from
Python 3.14 on (compression.zstd); before, one call into any zstd library goes where the error is raised.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

CRC_TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    CRC_TABLE.append(n)


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def checked(data: bytes, what: str) -> bytes:
    """The bytes before the checksum that ends them."""
    if crc32c(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise ValueError(f"{what} is damaged")
    return data[:-4]


def lz4_block(data: bytes) -> bytes:
    out, at = bytearray(), 0

    def length(n: int) -> int:
        nonlocal at
        while n >= 15 and data[at] == 255:
            n, at = n + 255, at + 1
        if n >= 15:
            n, at = n + data[at], at + 1
        return n

    while at < len(data):
        token, at = data[at], at + 1
        literals = length(token >> 4)
        out += data[at : at + literals]
        at += literals
        if at < len(data):  # the last sequence has no match
            offset, at = int.from_bytes(data[at : at + 2], "little"), at + 2
            for _ in range(length(token & 15) + 4):
                out.append(out[-offset])
    return bytes(out)


def blosc(data: bytes) -> bytes:
    """A blosc-1 buffer of lz4 blocks that are neither shuffled nor split."""
    flags, (size, block, _) = data[2], np.frombuffer(data[4:16], "<u4").tolist()
    if flags & 2:  # stored as it is
        return data[16 : 16 + size]
    out = b""
    for start in np.frombuffer(data[16 : 16 + 4 * -(-size // block)], "<u4").tolist():
        stored = int.from_bytes(data[start : start + 4], "little")
        part = data[start + 4 : start + 4 + stored]
        out += part if stored == min(block, size - len(out)) else lz4_block(part)
    return out


def read(root: Path, member: str) -> np.ndarray:
    """All rows of ``images``, ``slices`` or ``masks``."""
    manifest = json.loads((root / "manifest.json").read_text())  # without one the store is not committed
    array = json.loads((root / member / "zarr.json").read_text())
    chain = [codec["name"] for codec in array["codecs"][0]["configuration"]["codecs"]]
    if "zstd" in chain:
        raise NotImplementedError("zstd needs a decompressor here")
    n, m = manifest["n_samples"], manifest["settings"]["shard_samples"]
    out = np.empty((n, *array["shape"][1:]), np.dtype(array["data_type"]).newbyteorder("<"))
    shard: Any = b""
    for row in range(n):
        if row % m == 0:
            path = root.joinpath(member, "c", str(row // m), *"0" * (out.ndim - 1))
            shard = path.read_bytes()
            index = np.frombuffer(checked(shard[-16 * m - 4 :], f"{path}: its index"), "<u8").reshape(m, 2)
        offset, length = index[row % m].tolist()
        data = checked(shard[offset : offset + length], f"{path}: row {row}")
        out[row] = np.frombuffer(blosc(data) if "blosc" in chain else data, out.dtype).reshape(out.shape[1:])
    return out
