"""Stores in an object store, over HTTP on loopback: built, read, verified, with a network that fails."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import store_maker as maker
import tiny
from s3_server import S3Server, no_faults

from fve_pipeline.errors import StoreError, StoreFormatError, StoreLockedError
from fve_pipeline.files import remote
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.files.locks import BuildLock, break_lock
from fve_pipeline.files.object_lock import ObjectLock
from fve_pipeline.files.open import open_files
from fve_pipeline.files.remote import RemoteFiles
from fve_pipeline.store.array import ShardedArray
from fve_pipeline.store.cache import ShardCache
from fve_pipeline.store.pending import recover
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.shard import ShardFile
from fve_pipeline.store.verify import verify
from fve_pipeline.store.volume import write_volume

SETTINGS = maker.settings()
FIRST = maker.plan({"a": 5, "b": 6})
SECOND = maker.plan({"a": 5, "b": 6, "c": 7})
FAULTS = ("503", "dropped before", "dropped after", "cut short")


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def server(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    for name, value in running.make_bucket("bucket").items():
        monkeypatch.setenv(name, value)
    running.faults.clear()
    yield running
    running.fail = no_faults


@pytest.fixture
def url(server: S3Server, request: pytest.FixtureRequest) -> str:
    assert server.endpoint
    return f"s3://bucket/{request.node.name}/slices.zarr"


@pytest.fixture
def cache(tmp_path: Path) -> ShardCache:
    return ShardCache(tmp_path / "cache")


def contents(files: LocalFiles | RemoteFiles) -> dict[str, bytes]:
    return {key: files.read(key) for key in files.list_keys()}


def test_the_same_bytes_as_in_a_folder(url: str, tmp_path: Path, cache: ShardCache) -> None:
    local, there = LocalFiles(tmp_path / "local"), open_files(url)
    for files in (local, there):
        with BuildLock(files):
            first = maker.build(files, FIRST, SETTINGS)
            maker.build(files, SECOND, SETTINGS, first)
    assert isinstance(there, RemoteFiles)
    # A local lock stays as an empty file; there it is gone.
    assert contents(there) == {key: data for key, data in contents(local).items() if key != ".fve/lock"}
    store = pickle.loads(pickle.dumps(open_store(url, cache=cache)))
    expected = np.stack([maker.pixels(row, 16) for row in SECOND])
    assert np.array_equal(store.read_images(0, 18), expected)
    assert np.array_equal(store.images[...], expected)
    assert store.index.equals(open_store(local.root).index)
    assert verify(store, deep=True) == []


def test_a_failing_network_loses_nothing(
    url: str, server: S3Server, tmp_path: Path, cache: ShardCache
) -> None:
    server.fail = lambda n: FAULTS[n // 4 % 4] if n % 4 == 0 else None
    files, local = open_files(url), LocalFiles(tmp_path / "local")
    with BuildLock(files) as lock:
        first = maker.build(files, FIRST, SETTINGS)
        lock.check()
        maker.build(files, SECOND, SETTINGS, first)
    store = open_store(url, cache=cache)
    assert np.array_equal(store.read_masks(0, 18), [maker.mask_of(row, 16, "uint8") for row in SECOND])
    assert verify(store, deep=True) == []
    server.fail = no_faults
    maker.build(local, SECOND, SETTINGS, maker.build(local, FIRST, SETTINGS))
    assert contents(files) == contents(local)
    seen = {method: {fault for m, fault in server.faults if m == method} for method in ("GET", "PUT")}
    assert seen == {"GET": set(FAULTS), "PUT": set(FAULTS)}


def test_a_network_that_stays_down_is_an_error(
    url: str, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_RETRIES", {"max_retries": 0})
    monkeypatch.setattr(remote, "_PAUSE", 0.001)
    server.fail = lambda n: "503" if n else None
    with pytest.raises(StoreError, match="gave up after 5 attempts"):
        open_store(url)


@pytest.mark.parametrize(
    "ask",
    [
        lambda files: files.read("a"),
        lambda files: files.list_keys(),
        lambda files: files.write_atomic("a", [b"x"]),
        lambda files: files.put_if("a", b"x", None),
    ],
    ids=["read", "list", "write", "put_if"],
)
def test_what_will_not_change_is_said_at_once(server: S3Server, ask: Callable[[RemoteFiles], object]) -> None:
    asked: list[int] = []
    server.fail = lambda number: asked.append(number)  # type: ignore[func-returns-value]
    with pytest.raises(StoreError, match=r"there is no bucket s3://missing\. Make it first") as raised:
        ask(RemoteFiles("s3://missing/slices.zarr"))
    assert len(asked) <= 2
    assert "\n" not in str(raised.value)
    asked.clear()
    server.fail = lambda number: asked.append(number) or "403"  # type: ignore[func-returns-value]
    with pytest.raises(StoreError, match="the server refuses these credentials") as raised:
        ask(RemoteFiles("s3://bucket/slices.zarr"))
    assert len(asked) <= 2
    assert "\n" not in str(raised.value)


def test_a_build_into_a_missing_bucket_is_one_line(server: S3Server, tmp_path: Path) -> None:
    assert server.endpoint
    root = tiny.write_cohort(tmp_path / "c", 1)
    words = [
        "build",
        root / "tiny.toml",
        "--root",
        root,
        "--out",
        "s3://missing/s.zarr",
        "--work",
        tmp_path / "w",
    ]
    for command in (words, ["info", "s3://missing/s.zarr"], ["verify", "s3://missing/s.zarr"]):
        done = subprocess.run(
            [sys.executable, "-m", "fve_pipeline", *map(str, command)],
            capture_output=True,
            text=True,
            check=False,
        )
        told = [line for line in done.stderr.splitlines() if line.startswith("fve: ")]
        assert done.returncode == 2, done.stderr
        assert len(told) == 1, done.stderr
        assert "there is no bucket s3://missing" in done.stderr.replace("\n", " ")
        assert "Traceback" not in done.stderr


def test_an_interrupted_commit_is_finished(url: str) -> None:
    class Unplugged(RemoteFiles):
        moves = 0

        def move(self, source: str, target: str) -> None:
            self.moves += 1
            if self.moves == 4:
                raise ConnectionError
            super().move(source, target)

    files = open_files(url)
    with pytest.raises(ConnectionError):
        maker.build(Unplugged(url), FIRST, SETTINGS)
    with pytest.raises(StoreError, match="stopped while it committed"):
        open_store(url)
    assert recover(files) is not None
    assert verify(open_store(url)) == []


def test_damage_is_found_and_never_cached(url: str, cache: ShardCache) -> None:
    files = open_files(url)
    maker.build(files, FIRST, SETTINGS)
    data = bytearray(files.read("masks/c/1/0/0"))
    data[2] ^= 1
    files.write_atomic("masks/c/1/0/0", [data])
    store = open_store(url, cache=cache)
    with pytest.raises(StoreFormatError, match="masks/c/1/0/0 has sha256"):
        store.read_masks(4, 5)
    assert list(cache.folder.glob("*")) == []
    assert [finding.shard for finding in verify(store)] == [1]


def test_the_cache_keeps_whole_shards_within_its_limit(url: str, server: S3Server, tmp_path: Path) -> None:
    files = open_files(url)
    manifest = maker.build(files, FIRST, SETTINGS)
    sizes = [entry.masks.size for entry in manifest.shards]
    cache = ShardCache(tmp_path / "cache", limit=max(sizes[0] + sizes[1], sizes[1] + sizes[2]))
    store = open_store(url, cache=cache)
    for row in range(4):
        before = next(server.counter)
        store.read_masks(row, row + 1)
        assert next(server.counter) - before == (2 if row == 0 else 1)  # one request a shard
    store.read_masks(0, 11)
    kept = {path.name for path in cache.folder.iterdir()}
    assert kept == {entry.masks.sha256 for entry in manifest.shards[1:]}
    again = open_store(url, cache=cache)
    before = next(server.counter)
    assert np.array_equal(again.read_masks(4, 11), store.read_masks(4, 11))
    assert next(server.counter) - before == 1  # none


def test_volumes_are_read_by_ranges(url: str) -> None:
    files, array = open_files(url), np.arange(4000, dtype=np.uint16).reshape(10, 20, 20)
    write_volume(files, "case/image", array, inner=(4, 8, 8))
    read = ShardedArray(files, "case/image").read((slice(2, 5), slice(None), slice(19, 20)))
    assert np.array_equal(read, array[2:5, :, 19:20])
    with pytest.raises(StoreFormatError, match="truncated"):
        ShardFile(files, "case/image/c/0/0/0", 4)


def test_one_builder_at_a_time(url: str) -> None:
    files = open_files(url)
    with BuildLock(files) as lock:
        with (
            pytest.raises(StoreLockedError, match=rf"process {os.getpid()} on .*--break-lock"),
            BuildLock(files),
        ):
            pass
        lock.check()
    assert files.list_keys() == []
    dead = ObjectLock(RemoteFiles(url))
    dead._files.put_if(".fve/lock", b'{"pid": 1, "host": "gone", "seen": 0, "token": "x"}', None)
    with pytest.raises(StoreLockedError, match="process 1 on gone"), BuildLock(files):
        pass
    break_lock(files)
    with BuildLock(files):
        pass


def test_a_builder_whose_lock_was_broken_may_not_commit(url: str) -> None:
    files = RemoteFiles(url)
    first, second = ObjectLock(files), ObjectLock(files)
    first.take()
    break_lock(files)
    with pytest.raises(StoreLockedError, match="was broken by someone"):
        first.check()
    second.take()
    with pytest.raises(StoreLockedError, match="is held by process"):
        first.check()
    first.release()  # which does not take the other's lock away
    second.check()
    second.release()
    assert files.list_keys() == []


def test_the_heartbeat_renews_the_lock_and_stops_when_it_is_broken(url: str) -> None:
    files = RemoteFiles(url)
    lock = ObjectLock(files, heartbeat=0.02)
    lock.take()
    first = lock._version
    deadline = time.monotonic() + 20
    while files.read(".fve/lock") and lock._version == first and time.monotonic() < deadline:
        time.sleep(0.02)
    lock.check()
    break_lock(files)
    assert lock._heart is not None
    lock._heart.join(20)
    assert not lock._heart.is_alive()
    assert files.list_keys() == []


def test_only_one_of_many_gets_the_lock(url: str) -> None:
    files, won = RemoteFiles(url), []
    barrier = threading.Barrier(6)

    def contend(mark: int) -> None:
        barrier.wait()
        if files.put_if(".fve/lock", b"%d" % mark, None):
            won.append(mark)

    threads = [threading.Thread(target=contend, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert files.read(".fve/lock") == b"%d" % won[0]


def test_credentials_of_a_profile(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text("[lab]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    files = open_files(url)
    files.write_atomic("a", [b"b"])
    assert files.read("a") == b"b"


@pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)  # forking is the point
def test_a_forked_process_is_refused_and_does_not_hang(url: str, cache: ShardCache) -> None:
    maker.build(open_files(url), FIRST, SETTINGS)
    store = open_store(url, cache=cache)
    expected = store.read_masks(0, 4).tobytes()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            same = store.read_masks(0, 4).tobytes() == expected  # in the cache: no request
            store.read_masks(4, 8)
        except StoreError as error:
            code = 0 if same and "spawn" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_a_wrong_url_is_explained() -> None:
    with pytest.raises(StoreError, match="Expected a URL such as s3://"):
        open_store("gopher://somewhere/slices.zarr")


def test_a_server_that_is_not_there_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:  # bound and not listening: nothing can answer there
        held.bind(("127.0.0.1", 0))
        place = f"http://127.0.0.1:{held.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", place)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "x")
        monkeypatch.setattr(remote.time, "sleep", lambda _: pytest.fail("it tried again"))
        with pytest.raises(StoreError, match=f"no server answers at {place}") as raised:
            open_store("s3://bucket/slices.zarr")
    assert "\n" not in str(raised.value)


def test_a_server_that_has_answered_is_waited_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = pickle.loads(pickle.dumps(RemoteFiles(url)))
    files.write_atomic("a", [b"x"])
    monkeypatch.setattr(remote, "_RETRIES", {"max_retries": 0})
    monkeypatch.setattr(remote, "_PAUSE", 0.001)
    elsewhere = pickle.loads(pickle.dumps(files))  # a worker's
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="gave up after 5 attempts"):
        elsewhere.read("a")


def test_no_credentials_are_said_at_once(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.endpoint
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(remote, "_INSTANCE", server.endpoint.removeprefix("http://"))
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", server.endpoint)
    with pytest.raises(StoreError, match=r"no credentials were found\. Set AWS_ACCESS_KEY_ID") as raised:
        open_store("s3://bucket/slices.zarr")
    assert "\n" not in str(raised.value)
