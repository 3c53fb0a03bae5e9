"""Open shards: a limited number mapped, the others read in pieces, all alike."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from fve_pipeline.errors import StoreFormatError
from fve_pipeline.store.files import LocalFiles
from fve_pipeline.store.opened import OpenShards
from fve_pipeline.store.shard import write_shard

CHUNKS = [b"ab", b"", b"cde"]


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    files = LocalFiles(tmp_path)
    for number in range(4):
        write_shard(files, f"s/{number}", [b"%d" % number, *CHUNKS], 5)
    return files


def read(shards: OpenShards, numbers: Iterator[int] | range = range(4)) -> list[list[bytes | None]]:
    found = []
    for number in numbers:
        shard = shards.get(f"s/{number}")
        assert shard is not None
        chunks = [shard.chunk(i) for i in range(5)]
        found.append([None if chunk is None else bytes(chunk) for chunk in chunks])
    return found


@pytest.mark.parametrize(("maps", "limit"), [(4, 4), (1, 4), (0, 4), (2, 1)])
def test_mapped_or_not_the_chunks_are_the_same(files: LocalFiles, maps: int, limit: int) -> None:
    shards = OpenShards(files, 5, maps, limit)
    expected = [[b"%d" % number, *CHUNKS, None] for number in range(4)]
    for _ in range(2):
        assert read(shards) == expected
    assert read(pickle.loads(pickle.dumps(shards))) == expected


def handles() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux shows them")
def test_only_mapped_shards_hold_a_handle(files: LocalFiles) -> None:
    before = handles()
    shards = OpenShards(files, 5, maps=1)
    read(shards)
    assert handles() - before == 1


def test_indexes_are_kept_and_read_once(files: LocalFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = OpenShards(files, 5, maps=0)
    read(shards)
    monkeypatch.setattr("fve_pipeline.store.opened.ShardFile", None)
    assert read(shards)[3] == [b"3", *CHUNKS, None]


def test_a_shard_cut_short_after_it_was_opened_is_an_error(files: LocalFiles, tmp_path: Path) -> None:
    shards = OpenShards(files, 5, maps=0)
    shard = shards.get("s/0")
    assert shard is not None
    os.truncate(tmp_path / "s" / "0", 2)
    with pytest.raises(StoreFormatError, match=r"s/0 was cut short: of 3 bytes at 3 it holds 0"):
        shard.chunk(3)


def test_there_is_no_shard(files: LocalFiles) -> None:
    assert OpenShards(files, 5).get("s/9") is None
