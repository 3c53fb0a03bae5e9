"""One shard: streamed out whole or not at all, its index checked when read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from fve_pipeline.errors import StoreFormatError
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.store.codec import ChunkCodec
from fve_pipeline.store.shard import ShardFile, copy_chunks, write_shard


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    return LocalFiles(tmp_path)


@given(chunks=st.lists(st.binary(max_size=40), max_size=6), spare=st.integers(0, 3))
@settings(deadline=None, max_examples=50)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], spare: int) -> None:
    files = LocalFiles(tmp_path_factory.mktemp("shard"))
    capacity = max(1, len(chunks) + spare)
    total = write_shard(files, "s", chunks, capacity)
    data = files.read("s")
    assert (total.size, total.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    shard = ShardFile(files, "s", capacity)
    expected = [*chunks, *[None] * (capacity - len(chunks))]
    assert [shard.chunk(i) for i in range(capacity)] == expected
    assert shard.n_chunks == len(chunks)


def test_chunks_that_lie_in_another_order(files: LocalFiles, tmp_path: Path) -> None:
    """As other writers may leave them."""
    index = np.array([(3, 2), (0, 3), (2**64 - 1, 2**64 - 1), (5, 1)], "<u8").tobytes()
    (tmp_path / "s").write_bytes(b"abcdef" + index + crc32c(index).to_bytes(4, "little"))
    shard = ShardFile(files, "s", 4)
    assert [shard.chunk(place) for place in range(4)] == [b"de", b"abc", None, b"f"]


def test_the_format_byte_by_byte(files: LocalFiles) -> None:
    write_shard(files, "s", [b"ab", b"cde"], 3)
    index = np.array([[0, 2], [2, 3], [2**64 - 1, 2**64 - 1]], "<u8").tobytes()
    assert files.read("s") == b"abcde" + index + crc32c(index).to_bytes(4, "little")
    assert crc32c(b"123456789") == 0xE3069283  # the check value of the algorithm's definition


def test_too_many_chunks_leave_nothing(files: LocalFiles, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 places"):
        write_shard(files, "s", [b"a", b"b", b"c"], 2)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(files: LocalFiles, tmp_path: Path) -> None:
    write_shard(files, "s", [b"old"], 1)

    def failing() -> Iterator[bytes]:
        yield b"new"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_shard(files, "s", failing(), 1)
    assert ShardFile(files, "s", 1).chunk(0) == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize("position", [-1, -5, -20])
def test_a_damaged_index_is_refused(files: LocalFiles, tmp_path: Path, position: int) -> None:
    write_shard(files, "s", [b"abc", b"de"], 2)
    data = bytearray(files.read("s"))
    data[position] ^= 0x10
    (tmp_path / "s").write_bytes(data)
    with pytest.raises(StoreFormatError, match=r"/s: .*crc32c"):
        ShardFile(files, "s", 2)


@pytest.mark.parametrize("length", [0, 10, 36, 40])
def test_a_truncated_shard_is_refused(files: LocalFiles, tmp_path: Path, length: int) -> None:
    write_shard(files, "s", [b"abc", b"de"], 2)
    (tmp_path / "s").write_bytes(files.read("s")[:length])
    with pytest.raises(StoreFormatError, match="/s"):
        ShardFile(files, "s", 2)


@pytest.mark.parametrize("pair", [(0, 2**63), (2**63, 2**63), (5, 1)])
def test_an_index_that_points_outside_is_refused(
    files: LocalFiles, tmp_path: Path, pair: tuple[int, int]
) -> None:
    index = np.array([pair], "<u8").tobytes()
    (tmp_path / "s").write_bytes(b"abcde" + index + crc32c(index).to_bytes(4, "little"))
    with pytest.raises(StoreFormatError, match="outside"):
        ShardFile(files, "s", 1)


def test_a_successor_holds_the_old_chunks_as_they_were(files: LocalFiles) -> None:
    first, second = (data + crc32c(data).to_bytes(4, "little") for data in (b"abc", b"de"))
    write_shard(files, "old", [first, second], 4)
    old = ShardFile(files, "old", 4)
    write_shard(files, "new", [*copy_chunks(old, 2), b"f"], 4)
    assert files.read("new")[:14] == first + second + b"f"
    with pytest.raises(StoreFormatError, match="no chunk 2"):
        list(copy_chunks(old, 3))


def test_a_damaged_chunk_is_not_taken_over(files: LocalFiles, tmp_path: Path) -> None:
    chunk = b"abc" + crc32c(b"abc").to_bytes(4, "little")
    for place in range(len(chunk)):
        write_shard(files, "old", [chunk, chunk], 4)
        data = bytearray(files.read("old"))
        data[len(chunk) + place] ^= 4
        (tmp_path / "old").write_bytes(data)
        copied = copy_chunks(ShardFile(files, "old", 4), 2)
        assert bytes(next(copied)) == chunk
        with pytest.raises(StoreFormatError, match=r"/old, chunk 1: a chunk's crc32c is .*--repair"):
            next(copied)


@pytest.mark.parametrize("name", ["lz4", "zstd", "none"])
@pytest.mark.parametrize("width", [3, 5])
def test_codec_refuses_what_it_did_not_write(name: Any, width: int) -> None:
    codec = ChunkCodec(name, (1, 4, 4), np.dtype(np.uint8))
    other = ChunkCodec(name, (1, 4, width), np.dtype(np.uint8))
    encoded = other.encode_chunk(np.ones((1, 4, width), np.uint8))
    with pytest.raises(StoreFormatError, match=f"not {name} of 16 bytes"):
        codec.decode_chunk(encoded)
    with pytest.raises(StoreFormatError, match="too few"):
        codec.decode_chunk(b"abc")
    with pytest.raises(ValueError, match="shape"):
        codec.encode_chunk(np.ones((1, 4, 5), np.uint8))
    with pytest.raises(TypeError, match="safe"):
        codec.encode_chunk(np.ones((1, 4, 4), np.int16))


@pytest.mark.parametrize("name", ["lz4", "zstd", "none"])
def test_every_flipped_bit_of_a_chunk_is_found(name: Any) -> None:
    codec = ChunkCodec(name, (1, 4, 4), np.dtype(np.uint8))
    encoded = codec.encode_chunk(np.arange(16, dtype=np.uint8).reshape(1, 4, 4))
    for bit in range(8 * len(encoded)):
        damaged = bytearray(encoded)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StoreFormatError):
            codec.decode_chunk(damaged)
