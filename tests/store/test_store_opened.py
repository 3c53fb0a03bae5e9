"""Chunks of open shards: some files kept mapped, the others opened for each chunk, all alike."""

from __future__ import annotations

import os
import pickle
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from fve_pipeline.errors import StoreFormatError
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.store.opened import OpenShards
from fve_pipeline.store.shard import write_shard

CHUNKS = [b"ab", b"", b"cde"]
EXPECTED = [[b"%d" % number, *CHUNKS, None] for number in range(4)]


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    files = LocalFiles(tmp_path)
    for number in range(4):
        write_shard(files, f"s/{number}", [b"%d" % number, *CHUNKS], 5)
    return files


@pytest.fixture(params=[4, 1, 0])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many files the process may keep open: a quarter of its limit."""
    number: int = request.param
    monkeypatch.setattr("fve_pipeline.files.mapped._kept", set())
    monkeypatch.setattr(resource, "getrlimit", lambda _: (4 * number, 4 * number))
    return number


def read(shards: OpenShards) -> list[list[bytes | None]]:
    def one(number: int, place: int) -> bytes | None:
        chunk = shards.chunk(f"s/{number}", place)
        return None if chunk is None else bytes(chunk)

    return [[one(number, place) for place in range(5)] for number in range(4)]


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("limit", [4, 1])
def test_kept_open_or_not_the_chunks_are_the_same(files: LocalFiles, limit: int) -> None:
    shards = OpenShards(files, 5, limit)
    assert read(shards) == EXPECTED
    assert read(shards) == EXPECTED
    assert read(pickle.loads(pickle.dumps(shards))) == EXPECTED


def handles(files: LocalFiles) -> int:
    """How many of the shards' files this process has open; other threads open files of their own."""
    opened = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            opened.append(os.readlink(f"/proc/self/fd/{number}"))
    return sum(name.startswith(str(files.root)) for name in opened)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux shows them")
def test_files_are_kept_open_within_the_limit_and_closed(files: LocalFiles, kept: int) -> None:
    shards = OpenShards(files, 5)
    read(shards)
    assert handles(files) == kept
    del shards
    assert handles(files) == 0


def test_indexes_are_kept_and_read_once(files: LocalFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = OpenShards(files, 5)
    read(shards)
    monkeypatch.setattr("fve_pipeline.store.opened.ShardFile", None)
    assert read(shards) == EXPECTED


def test_threads_share_a_shard(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    write_shard(files, "s", [bytes([i]) * 100_000 for i in range(8)], 8)
    shards = OpenShards(files, 8)
    together = threading.Barrier(8)

    def work(place: int) -> bool:
        chunk = shards.chunk("s", place)
        together.wait(60)  # all have read before any looks
        return bytes(chunk or b"") == bytes([place]) * 100_000

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


@pytest.mark.usefixtures("kept")
def test_a_shard_cut_short_after_it_was_opened_is_an_error(files: LocalFiles, tmp_path: Path) -> None:
    shards = OpenShards(files, 5)
    write_shard(files, "s/9", [bytes(100_000), bytes(200_000)], 5)
    shards.chunk("s/9", 0)
    os.truncate(tmp_path / "s" / "9", 150_000)
    assert shards.chunk("s/9", 0) == bytes(100_000)
    with pytest.raises(
        StoreFormatError, match=r"s/9 was cut short: of 200000 bytes at 100000 it holds 50000"
    ):
        shards.chunk("s/9", 1)
    os.truncate(tmp_path / "s" / "9", 0)
    with pytest.raises(StoreFormatError, match=r"s/9 was cut short: of 100000 bytes at 0 it holds 0"):
        shards.chunk("s/9", 0)


def test_there_is_no_shard(files: LocalFiles) -> None:
    assert OpenShards(files, 5).chunk("s/9", 0) is None
