"""Every place of files passes one suite: a folder, an object store over HTTP, its shards kept on a local disk."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from files_conformance import FilesConformance, ReadingConformance
from s3_server import S3Server

from fve_pipeline.files.local import LocalFiles
from fve_pipeline.files.remote import RemoteFiles
from fve_pipeline.store.cache import CachedShards, ShardCache
from fve_pipeline.store.shard import FileSum


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def bucket(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty folder in an object store."""
    for name, value in running.make_bucket("bucket").items():
        monkeypatch.setenv(name, value)
    return f"s3://bucket/{uuid.uuid4().hex}"


def put(url: str, contents: dict[str, bytes]) -> None:
    store = obstore.store.from_url(url, client_options={"allow_http": True})
    for key, data in contents.items():
        obstore.put(store, key, data)


class TestLocalFiles(FilesConformance):
    @pytest.fixture
    def place(self, tmp_path: Path) -> FilesConformance.Place:
        def placed(contents: dict[str, bytes]) -> LocalFiles:
            for key, data in contents.items():
                path = tmp_path / "root" / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            return LocalFiles(tmp_path / "root")

        return placed


class TestRemoteFiles(FilesConformance):
    @pytest.fixture
    def place(self, bucket: str) -> FilesConformance.Place:
        def placed(contents: dict[str, bytes]) -> RemoteFiles:
            put(bucket, contents)
            return RemoteFiles(bucket)

        return placed


class TestCachedShards(ReadingConformance):
    @pytest.fixture
    def place(self, bucket: str, tmp_path: Path) -> ReadingConformance.Place:
        def placed(contents: dict[str, bytes]) -> CachedShards:
            put(bucket, contents)
            sums = {
                key: FileSum(key=key, size=len(data), sha256=hashlib.sha256(data).hexdigest())
                for key, data in contents.items()
            }
            return CachedShards(RemoteFiles(bucket), RemoteFiles(bucket), sums, ShardCache(tmp_path))

        return placed
