"""A look at a store's file gives the file that its manifest lists, even when a commit runs during the look."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import store_maker as maker

from fve_pipeline.errors import StoreError
from fve_pipeline.files.base import ReadableFiles
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.store import commit as commit_module
from fve_pipeline.store import pending
from fve_pipeline.store.committed import CommittedFiles, has_grown_from
from fve_pipeline.store.reader import open_store

SETTINGS = maker.settings()
FIRST = maker.plan({"a": 5, "b": 5})
GROWN = maker.plan({"a": 5, "b": 5, "c": 6})
OTHER = maker.plan({"d": 10})
WHOLE, TAIL = "images/c/0/0/0/0", "images/c/2/0/0/0"


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    files = LocalFiles(tmp_path)
    maker.build(files, FIRST, SETTINGS)
    return files


def during(happens: Callable[[], object]) -> Callable[[ReadableFiles, str], bytes]:
    """A look that something happens in the middle of, once."""
    left = [happens]

    def look(files: ReadableFiles, place: str) -> bytes:
        if left:
            left.pop()()
        return files.read(place)

    return look


def until_the_manifest(happens: Callable[[], object]) -> None:
    """Stop a commit when all has moved but the manifest."""
    real = LocalFiles.move

    def move(files: LocalFiles, source: str, target: str) -> None:
        if target == "manifest.json":
            raise InterruptedError
        real(files, source, target)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(LocalFiles, "move", move)
        with pytest.raises(InterruptedError):
            happens()


def test_a_look_that_another_store_overtakes_is_refused(files: LocalFiles) -> None:
    store = open_store(files.root)
    with pytest.raises(
        StoreError, match=r"was replaced by another store .*generation 1 then, 2 now.*open it again"
    ):
        store.committed.look(WHOLE, during(lambda: maker.build(files, OTHER, SETTINGS)))


def test_a_look_that_an_append_overtakes_sees_its_rows(files: LocalFiles) -> None:
    store = open_store(files.root)
    before = {key: files.read(key) for key in (WHOLE, TAIL)}
    grow = during(lambda: maker.build(files, GROWN, SETTINGS, store.manifest))
    assert store.committed.look(WHOLE, grow) == before[WHOLE]
    index = 16 * SETTINGS.shard_samples + 4
    assert store.committed.read(TAIL).startswith(before[TAIL][:-index])
    assert [(store.sample(i)[0] == maker.pixels(row, 16)).all() for i, row in enumerate(FIRST)] == [True] * 10


def test_a_look_that_a_commit_overtakes_halfway_finds_what_was_set_aside(files: LocalFiles) -> None:
    store = open_store(files.root)
    before = files.read(WHOLE)

    def half_a_commit() -> None:
        until_the_manifest(lambda: maker.build(files, OTHER, SETTINGS))

    assert store.committed.look(WHOLE, during(half_a_commit)) == before
    assert files.read(WHOLE) != before
    assert pending.recover(files) is not None
    with pytest.raises(StoreError, match="was replaced"):
        store.committed.read(WHOLE)


def test_what_the_old_store_lacked_is_not_taken_from_the_new_one(
    files: LocalFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.delete(WHOLE)
    store = open_store(files.root)
    monkeypatch.setattr(commit_module, "finish", lambda *_: None)
    maker.build(files, OTHER, SETTINGS)  # the journal is there, nothing is done yet
    monkeypatch.undo()
    until_the_manifest(lambda: pending.recover(files))
    assert files.exists(WHOLE)
    assert store.committed.read(WHOLE) == b""


def test_growing_is_told_from_replacing(files: LocalFiles) -> None:
    first = open_store(files.root).manifest
    grown = maker.build(files, GROWN, SETTINGS, first)
    assert has_grown_from(files, first, grown)
    assert not has_grown_from(files, grown, first)
    for rows, settings in (
        (OTHER, SETTINGS),
        (maker.plan({"a": 5, "b": 4, "x": 5}), SETTINGS),  # only the tail differs
        (GROWN, maker.settings(shard_samples=5)),
    ):
        assert not has_grown_from(files, first, maker.build(files, rows, settings))


def test_a_copy_for_a_worker_looks_for_itself(files: LocalFiles) -> None:
    copied: CommittedFiles = pickle.loads(pickle.dumps(open_store(files.root).committed))
    assert copied.size(WHOLE) == len(files.read(WHOLE))
    maker.build(files, OTHER, SETTINGS)
    with pytest.raises(StoreError, match="was replaced"):
        copied.size(WHOLE)
