"""An append never blesses damage: what it would take over is checked, and named when it is not as committed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny

from fve_pipeline.errors import StoreFormatError
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.verify import verify


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_cohort(tmp_path_factory.mktemp("cohort"), 2)


@pytest.fixture(scope="module")
def first(cohort: Path, tmp_path_factory: pytest.TempPathFactory, executor: Executor) -> Path:
    """A store of two cases whose last shard is not full, and its work folder."""
    out = tmp_path_factory.mktemp("first") / "slices.zarr"
    tiny.build(tiny.datasets(cohort), out, executor, settings=tiny.settings(shard_samples=7))
    assert len(open_store(out)) % 7
    return out


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= 1 << position % 8
    path.write_bytes(data)


def tail(store: Path, member: str) -> str:
    entry = open_store(store).manifest.shards[-1]
    return (entry.images if member == "images" else entry.masks).key


@pytest.mark.parametrize("position", [7, 1001])
@pytest.mark.parametrize(
    "name",
    ["index.parquet", "cases.parquet", "classes.parquet", "images", "masks", "zarr.json", "manifest.json"],
)
def test_damage_is_refused_and_nothing_is_touched(
    cohort: Path, first: Path, tmp_path: Path, executor: Executor, name: str, position: int
) -> None:
    out, root = tmp_path / "slices.zarr", tmp_path / "cohort"
    shutil.copytree(first, out)
    shutil.copytree(cohort, root)
    tiny.write_case(root, "c02", 2)
    key = tail(first, name) if name in ("images", "masks") else name
    named = key
    if name == "manifest.json":  # damaged, but a manifest still
        text = (out / key).read_text()
        (out / key).write_text(text.replace("made here", f"made at {position}", 1))
        named = r"zarr\.json: it is not what manifest\.json implies"
    else:
        flip(out / key, position)
    before = tiny.bytes_of(out)
    with pytest.raises(StoreFormatError, match=named) as raised:
        tiny.build(tiny.datasets(root), out, executor, settings=tiny.settings(shard_samples=7))
    assert "--repair" in str(raised.value)
    assert tiny.bytes_of(out) == before | {".fve/lock": b""}


def test_damage_that_is_not_taken_over_stays_on_record(
    cohort: Path, first: Path, tmp_path: Path, executor: Executor
) -> None:
    out, root = tmp_path / "slices.zarr", tmp_path / "cohort"
    shutil.copytree(first, out)
    shutil.copytree(cohort, root)
    tiny.write_case(root, "c02", 2)
    flip(out / "images/c/0/0/0/0", 40)
    tiny.build(tiny.datasets(root), out, executor, settings=tiny.settings(shard_samples=7))
    assert [finding.shard for finding in verify(open_store(out))] == [0]
