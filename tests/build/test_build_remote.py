"""A build straight into a bucket: an S3 endpoint over HTTP that now and then drops or refuses a request."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from s3_server import S3Server

from fve_pipeline.files.local import LocalFiles
from fve_pipeline.files.open import open_files
from fve_pipeline.runtime.executor import cluster
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.verify import verify


def test_build_append_and_verify_in_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tiny.write_cohort(tmp_path / "cohort", 3)
    with S3Server() as server:
        for name, value in server.make_bucket("bucket").items():
            monkeypatch.setenv(name, value)
        url = "s3://bucket/slices.zarr"
        with cluster(workers=1, memory=1 << 30) as executor:
            for out in (url, str(tmp_path / "slices.zarr")):
                work = tmp_path / "work"
                tiny.build(tiny.datasets(root), out, executor, work=work)
            tiny.write_case(root, "c90", 90)
            for out in (url, str(tmp_path / "slices.zarr")):
                summary = tiny.build(tiny.datasets(root), out, executor, work=work)
                assert summary.new_cases == 1
        assert verify(open_store(url), deep=True) == []
        there, here = open_files(url), LocalFiles(tmp_path / "slices.zarr")
        keys = [key for key in here.list_keys() if key != ".fve/lock"]
        assert there.list_keys() == keys
        assert all(there.read(key) == here.read(key) for key in keys)
