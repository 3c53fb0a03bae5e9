"""Run as a script: kills a process with SIGKILL at each point of a commit, goes on, compares every byte.

``kill_commit.py SCENARIO FOLDER``: SCENARIO is new, append, overwrite or update.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

import store_maker as maker

from fve_pipeline.errors import StoreError
from fve_pipeline.files.base import Buffer
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.files.locks import BuildLock
from fve_pipeline.store.migrations import read_manifest
from fve_pipeline.store.pending import recover, settle
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.verify import verify

SETTINGS = maker.settings()
# By scenario: what is there before, and after. An update leaves the first shard as it is, and drops the last.
START = dict.fromkeys(("new", "append", "overwrite"), maker.plan({"a": 3, "b": 2}))
START["update"] = maker.plan({"a": 4, "b": 5, "c": 3})
TARGET = {
    "new": START["new"],
    "append": maker.plan({"a": 3, "b": 2, "c": 4}),
    "overwrite": maker.plan({"d": 2}),
    "update": maker.plan({"a": 4, "c": 3}),
}


class DyingFiles(LocalFiles):
    """Counts two steps an operation, before it and after it, and kills the process at the given one."""

    def __init__(self, root: Path, fatal: int) -> None:
        super().__init__(root)
        self.fatal = fatal
        self.steps = 0

    def step(self) -> None:
        if self.steps == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        self.steps += 1

    def write_atomic(self, key: str, pieces: Iterable[Buffer]) -> None:
        def dying() -> Iterable[Buffer]:
            for piece in pieces:
                yield piece[: len(piece) // 2]
                self.step()
                yield piece[len(piece) // 2 :]

        super().write_atomic(key, dying())
        self.step()

    def copy(self, source: str, target: str) -> None:
        self.step()
        super().copy(source, target)
        self.step()

    def move(self, source: str, target: str) -> None:
        self.step()
        super().move(source, target)
        self.step()

    def delete(self, key: str) -> None:
        self.step()
        super().delete(key)
        self.step()

    def delete_tree(self, prefix: str) -> None:
        # A tree goes file by file.
        for key in self.list_keys(prefix):
            self.step()
            (self.root / key).unlink()
        self.step()
        super().delete_tree(prefix)
        self.step()


def start(scenario: str, files: LocalFiles) -> None:
    if scenario != "new":
        maker.build(files, START[scenario], SETTINGS)


def go_on(scenario: str, files: LocalFiles) -> None:
    """What a build does that is started, or started again."""
    with BuildLock(files):
        finished = recover(files)
        try:
            previous = read_manifest(files)
        except StoreError:
            previous = None
        if finished or (previous and previous.n_samples == len(TARGET[scenario])):
            settle(files)
            return
        if scenario == "update":
            assert previous is not None
            maker.rewrite(files, TARGET[scenario], SETTINGS, previous, {0})
            return
        maker.build(files, TARGET[scenario], SETTINGS, None if scenario == "overwrite" else previous)


def tree(root: Path) -> dict[str, bytes | None]:
    paths = sorted(root.rglob("*"))
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None for path in paths
    }


def check_what_a_reader_sees(scenario: str, root: Path) -> Store | None:
    """Between a kill and the next build the old store opens, or the new one, with every sample of it."""
    try:
        store = open_store(root)
    except StoreError:
        if scenario != "new":
            raise
        return None
    assert store.index.num_rows == len(store)
    rows = TARGET[scenario] if len(store) == len(TARGET[scenario]) else START[scenario]
    assert store.index["case"].to_pylist() == [f"made/{case}" for case, _ in rows]
    array = store.images[...]
    for i, row in enumerate(rows):
        assert (store.sample(i)[0] == maker.pixels(row, 16)).all()
        assert (array[i] == maker.pixels(row, 16)).all()
    assert verify(store, deep=True) == []
    return store


def check_an_open_reader(scenario: str, store: Store) -> None:
    """One that was opened before the commit reads its own samples, or is told that the store was replaced.

    An update replaces nothing that an open reader has: its generation is kept.
    """
    assert scenario == "overwrite" or store.index["case"].to_pylist() == [
        f"made/{case}" for case, _ in START[scenario]
    ]
    for read in (lambda i: store.sample(i)[0], lambda i: store.images[i]):
        for i, row in enumerate(START[scenario]):
            try:
                assert (read(i) == maker.pixels(row, 16)).all()
            except StoreError as error:
                assert scenario != "update"
                assert "was replaced by another store" in str(error)  # noqa: PT017
                assert read_manifest(store.files).generation > 1


def main(scenario: str, folder: Path) -> None:
    os.fsync = lambda _: None  # a kill loses nothing that was written; only a power cut would
    undisturbed = LocalFiles(folder / "undisturbed")
    start(scenario, undisturbed)
    go_on(scenario, undisturbed)
    expected = tree(undisturbed.root)
    base = folder / "base"
    start(scenario, LocalFiles(base))
    kills = 0
    while True:
        root = folder / "killed"
        shutil.rmtree(root, ignore_errors=True)
        if base.exists():
            shutil.copytree(base, root)
        fresh, used = (open_store(root), open_store(root)) if base.exists() else (None, None)
        if used:
            used.sample(0)
        child = os.fork()
        if child == 0:
            go_on(scenario, DyingFiles(root, fatal=kills))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            break  # it lived: every step has been fatal once
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        check_what_a_reader_sees(scenario, root)
        between = [fresh, used, open_store(root) if base.exists() else None]
        for store in filter(None, between[:2]):
            check_an_open_reader(scenario, store)
        go_on(scenario, LocalFiles(root))
        assert tree(root) == expected, f"killed at step {kills}"
        for store in filter(None, between if scenario == "update" else ()):
            check_an_open_reader(scenario, store if len(store) == 12 else open_store(root, generation=1))
        kills += 1
    assert verify(open_store(root), deep=True) == []
    print(f"{kills} kills")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
