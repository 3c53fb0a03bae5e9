"""A copied store is the store that a build of the chosen cases gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
from typer.testing import CliRunner

from fve_pipeline.build.copy import copy_cases
from fve_pipeline.cli.main import app
from fve_pipeline.coreset import load_selection
from fve_pipeline.errors import BuildError
from fve_pipeline.files.owner import LOCK
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.verify import verify

CHOSEN = ("tiny/c00", "tiny/c02", "tiny/c03")


def _build(root: Path, out: Path, executor: Executor, only: tuple[str, ...] | None, **changes: Any) -> Store:
    chosen = frozenset(only) if only else None
    settings = tiny.settings(**changes)
    work = out.with_suffix(".work")
    tiny.build(tiny.datasets(root), out, executor, work=work, settings=settings, only=chosen)
    return open_store(out)


@pytest.mark.parametrize("storage", ["encoded", "slices"])
def test_equals_a_build_of_the_chosen_cases(tmp_path: Path, executor: Executor, storage: str) -> None:
    root = tiny.write_cohort(tmp_path / "cohort", 4)
    whole = _build(root, tmp_path / "whole.zarr", executor, None, storage=storage)
    direct = _build(root, tmp_path / "direct.zarr", executor, CHOSEN, storage=storage)
    copied = copy_cases([whole], CHOSEN, str(tmp_path / "copy.zarr"), Resources(executor))
    assert copied.content_id == direct.manifest.content_id
    ours, theirs = tiny.bytes_of(tmp_path / "copy.zarr"), tiny.bytes_of(tmp_path / "direct.zarr")
    ours.pop(LOCK)
    theirs.pop(LOCK)
    assert ours == theirs
    assert verify(open_store(tmp_path / "copy.zarr"), deep=True) == []


def test_from_two_stores_with_shards_of_other_lengths(tmp_path: Path, executor: Executor) -> None:
    root = tiny.write_cohort(tmp_path / "cohort", 4)
    one = _build(root, tmp_path / "one.zarr", executor, ("tiny/c00", "tiny/c01"))
    two = _build(root, tmp_path / "two.zarr", executor, ("tiny/c02", "tiny/c03"), shard_samples=5)
    direct = _build(root, tmp_path / "direct.zarr", executor, CHOSEN)
    copied = copy_cases([one, two], CHOSEN, str(tmp_path / "copy.zarr"), Resources(executor))
    assert copied.content_id == direct.manifest.content_id
    assert [entry.n_rows for entry in copied.shards] == [entry.n_rows for entry in direct.manifest.shards]


def test_refusals(tmp_path: Path, executor: Executor) -> None:
    root = tiny.write_cohort(tmp_path / "cohort", 2)
    one = _build(root, tmp_path / "one.zarr", executor, ("tiny/c00",))
    two = _build(root, tmp_path / "two.zarr", executor, ("tiny/c01",), codec="zstd")
    with pytest.raises(BuildError, match=r"codec is 'lz4' and 'zstd'\. Build one with fve build --only"):
        copy_cases([one, two], ["tiny/c00"], str(tmp_path / "copy.zarr"), Resources(executor))
    with pytest.raises(BuildError, match="1 of 1 cases are in none of the stores, such as 'tiny/c09'"):
        copy_cases([one], ["tiny/c09"], str(tmp_path / "copy.zarr"), Resources(executor))
    with pytest.raises(BuildError, match="is a store already"):
        copy_cases([one], ["tiny/c00"], str(tmp_path / "two.zarr"), Resources(executor))


def test_from_the_command_line(tmp_path: Path, executor: Executor) -> None:
    root = tiny.write_cohort(tmp_path / "cohort", 4)
    whole = _build(root, tmp_path / "whole.zarr", executor, None)
    out, copy = tmp_path / "c.parquet", tmp_path / "copy.zarr"
    command = ["coreset", whole.files.url, "--cases", "2", "--out", str(out), "--copy", str(copy)]
    result = CliRunner().invoke(app, [*command, "--workers", "1"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    chosen = load_selection(out)
    assert sorted(open_store(copy).cases.column("case").to_pylist()) == sorted(chosen.case_ids)
    assert chosen.check(whole.cases.column("case").to_pylist(), whole.manifest.content_id) == []
