"""Older generations: what a rewriting commit replaces stays open, shared where it can be, until it is pruned."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import store_maker as maker
from s3_server import S3Server

from fve_pipeline.errors import StoreError
from fve_pipeline.files.base import Files
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.files.open import open_files
from fve_pipeline.store.cache import ShardCache
from fve_pipeline.store.generations import kept_generations, prune_generations
from fve_pipeline.store.migrations import read_manifest
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.verify import verify

SETTINGS = maker.settings()
ONE = maker.plan({"a": 4, "b": 5, "c": 3})
TWO = maker.plan({"a": 4, "c": 3})
THREE = maker.plan({"a": 4, "c": 3, "d": 6})
FOUR = maker.plan({"e": 4, "c": 3, "d": 6})


def live(files: Files) -> None:
    """Four generations: built, rewritten, grown, rewritten again."""
    first = maker.build(files, ONE, SETTINGS)
    second = maker.rewrite(files, TWO, SETTINGS, first, {0})
    third = maker.build(files, THREE, SETTINGS, second)
    maker.rewrite(files, FOUR, SETTINGS, third, {1, 2, 3})


def holds(store: Store, rows: list[maker.Row]) -> bool:
    pixels = all((store.sample(i)[0] == maker.pixels(row, 16)).all() for i, row in enumerate(rows))
    names = [f"made/{case}" for case, _ in rows]
    return pixels and store.index["case"].to_pylist() == names and verify(store, deep=True) == []


def test_each_generation_is_what_it_was(tmp_path: Path) -> None:
    live(LocalFiles(tmp_path))
    for generation, rows in enumerate((ONE, TWO, THREE, FOUR), 1):
        store = open_store(tmp_path, generation=generation)
        assert holds(store, rows)
        assert (store.images[len(rows) - 1] == maker.pixels(rows[-1], 16)).all()
        assert holds(open_store(f"{tmp_path}@{generation}"), rows)
        assert holds(pickle.loads(pickle.dumps(store)), rows)


def test_it_costs_what_was_replaced(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    first = maker.build(files, ONE, SETTINGS)
    before = os.stat(tmp_path / "images/c/1/0/0/0").st_ino
    maker.rewrite(files, TWO, SETTINGS, first, {0})
    kept = {key for key in files.list_keys(".fve/generations/1") if "/c/" in key}
    places = ("images/c/1/0/0/0", "images/c/2/0/0/0", "masks/c/1/0/0", "masks/c/2/0/0")
    assert kept == {f".fve/generations/1/{key}" for key in places}
    assert os.stat(tmp_path / ".fve/generations/1/images/c/1/0/0/0").st_ino == before


def test_a_reader_stays_on_its_generation_until_that_is_pruned(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    first = maker.build(files, ONE, SETTINGS)
    early = open_store(tmp_path)
    second = maker.rewrite(files, TWO, SETTINGS, first, {0})
    between = open_store(tmp_path)
    maker.rewrite(files, maker.plan({"e": 4, "c": 3}), SETTINGS, second, {1})
    assert holds_rows(early, ONE)
    assert holds_rows(between, TWO)
    named = open_store(tmp_path, generation=1)
    assert prune_generations(files, keep=1) == (1,)
    with pytest.raises(StoreError, match="was replaced by another store"):
        open_store_rows(early)
    with pytest.raises(StoreError, match="was pruned"):
        open_store_rows(named)
    assert holds_rows(between, TWO)
    assert prune_generations(files) == (2,)
    assert not (tmp_path / ".fve/generations").exists()
    with pytest.raises(StoreError, match="no generation 2: those that can be opened are 3"):
        open_store(tmp_path, generation=2)


def holds_rows(store: Store, rows: list[maker.Row]) -> bool:
    again = pickle.loads(pickle.dumps(store))
    return all((again.sample(i)[0] == maker.pixels(row, 16)).all() for i, row in enumerate(rows))


def open_store_rows(store: Store) -> None:
    pickle.loads(pickle.dumps(store)).sample(len(store) - 1)


def test_history_tells_the_changes_and_appends_after_them(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    first = maker.build(files, ONE, SETTINGS)
    assert "history" not in (tmp_path / "manifest.json").read_text()
    assert first.history == ()
    live_files = LocalFiles(tmp_path / "live")
    live(live_files)
    found = [(one.generation, one.kind, one.cases) for one in read_manifest(live_files).history]
    vanished = {"vanished": ("made/b",)}
    assert found == [(2, "update", vanished), (3, "append", {"new": ("made/d",)}), (4, "update", vanished)]


def test_a_store_that_is_overwritten_takes_its_generations_with_it(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    live(files)
    maker.build(files, TWO, SETTINGS)
    assert kept_generations(files) == ()
    assert not (tmp_path / ".fve/generations").exists()


def test_on_an_object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Server() as server:
        for name, value in server.make_bucket("lab").items():
            monkeypatch.setenv(name, value)
        url = "s3://lab/live.zarr"
        files = open_files(url)
        maker.rewrite(files, TWO, SETTINGS, maker.build(files, ONE, SETTINGS), {0})
        for generation, rows in enumerate((ONE, TWO), 1):
            store = open_store(f"{url}@{generation}", cache=ShardCache(tmp_path))
            assert holds_rows(store, rows)
            assert store.index["case"].to_pylist() == [f"made/{case}" for case, _ in rows]
        assert prune_generations(files) == (1,)
