"""fve update, info --history and prune on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
from command import run

from fve_pipeline.runtime.executor import Executor
from fve_pipeline.store.reader import open_store


@pytest.fixture
def live(tmp_path: Path, executor: Executor) -> Path:
    root = tiny.write_cohort(tmp_path / "root", 3)
    tiny.build(tiny.datasets(root), tmp_path / "s.zarr", executor, settings=tiny.settings(size=16))
    return tmp_path


def test_a_store_is_updated_told_and_pruned(
    live: Path, executor: Executor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, catalog = live / "s.zarr", live / "root/tiny.toml"
    address = executor._client.scheduler.address
    asked = ("update", store, catalog, "--root", live / "root", "--scheduler", address)
    tiny.write_case(live / "root", "c07", 7)
    assert run(monkeypatch, *asked, "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"cases": {"new": ["tiny/c07"]}, "shards": 0}
    assert run(monkeypatch, *asked) == 0
    assert "new, 1: tiny/c07" in capsys.readouterr().out
    assert run(monkeypatch, "info", store, "--history") == 0
    said = capsys.readouterr().out
    assert "older ones that can be opened: 1" in said
    assert "new: tiny/c07" in said
    assert run(monkeypatch, "diff", f"{store}@1", store, "--json") == 1
    assert json.loads(capsys.readouterr().out)["added"] == ["tiny/c07"]
    assert run(monkeypatch, "update", f"{store}@1", *asked[2:]) == 2
    assert "an older generation, which is not written to" in capsys.readouterr().err
    assert run(monkeypatch, "prune", store) == 0
    assert "Generations 1 are gone" in capsys.readouterr().out
    assert run(monkeypatch, "prune", store, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"removed": [], "bytes": 0}
    (live / "root/c01_seg.nii.gz").write_bytes(b"damage")
    assert run(monkeypatch, *asked) == 1
    assert "failed: tiny/c01" in capsys.readouterr().err
    assert open_store(store).manifest.n_cases == 4
    gone = ("withdraw", store, "--subject", "tiny/c07", "--scheduler", address)
    assert run(monkeypatch, *gone, "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"cases": ["tiny/c07"]}
    assert run(monkeypatch, *gone, "--purge", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["cases"], said["found"], said["kept"]) == (1, 0, [])
    assert "Signed off by" in (live / "s.zarr.withdrawal-3.txt").read_text()
    assert run(monkeypatch, *gone) == 2
    assert "'tiny/c07' is in the store under no such name" in capsys.readouterr().err
