"""Whatever a job is interrupted by, whatever happens beside it: run again it ends in the undisturbed bytes."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from inline import InlineExecutor

from fve_pipeline.build import repair as repair_module
from fve_pipeline.build.convert import convert_store
from fve_pipeline.build.copy import copy_cases
from fve_pipeline.build.pipeline import encode_prepared, prepare
from fve_pipeline.build.repair import repair_store
from fve_pipeline.build.request import PrepareRequest
from fve_pipeline.build.transaction import transaction, working_in
from fve_pipeline.errors import BuildError, StoreError, StoreLockedError
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.files.locks import BuildLock
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.pending import recover
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.verify import verify

RESOURCES = Resources(InlineExecutor())
SETTINGS = tiny.settings(views_rule="axial", size=16)
LAZY = tiny.settings(views_rule="axial", size=16, storage="slices")


@pytest.fixture(autouse=True)
def nothing_is_lost_by_a_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill loses nothing that was written, only a power cut would; and the disk's time is not tested."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it, and what is on disk stays."""


@contextlib.contextmanager
def killed_at(step: int) -> Iterator[None]:
    """Stop at the given file operation, counted twice each: before it and after it."""
    steps = 0

    def dying(method: Callable[..., None]) -> Callable[..., None]:
        def run(*args: Any) -> None:
            nonlocal steps
            for part in (None, method):
                if steps == step:
                    raise Killed
                steps += 1
                if part:
                    part(*args)

        return run

    with pytest.MonkeyPatch.context() as patched:
        for name in ("write_atomic", "copy", "move", "delete", "delete_tree"):
            patched.setattr(LocalFiles, name, dying(getattr(LocalFiles, name)))
        yield


def build(root: Path, out: Path, *, settings: Any = SETTINGS, **options: Any) -> Any:
    return tiny.build(tiny.datasets(root), out, RESOURCES.executor, settings=settings, **options)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_cohort(tmp_path_factory.mktemp("cohort"), 2)


@pytest.fixture(scope="module")
def more(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same cases and one more."""
    folder = tmp_path_factory.mktemp("more")
    shutil.copytree(root, folder, dirs_exist_ok=True)
    tiny.write_case(folder, "c02", 2)
    return folder


@pytest.fixture(scope="module")
def first(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``s.zarr`` and ``s.work`` of the two cases, and ``lazy.zarr``, a lazy store of them."""
    folder = tmp_path_factory.mktemp("first")
    build(root, folder / "s.zarr")
    build(root, folder / "lazy.zarr", settings=LAZY)
    return folder


def every_kill(
    first: Path, tmp_path: Path, job: Callable[[Path], object], after: Callable[[Path], object]
) -> int:
    """Kill ``job`` at each file operation, look, and run ``after``: the end is always the same. Counts the kills."""
    shutil.copytree(first, tmp_path / "undisturbed")
    job(tmp_path / "undisturbed")
    expected = tiny.bytes_of(tmp_path / "undisturbed/s.zarr")
    images = open_store(first / "s.zarr").images[...]
    folder, step = tmp_path / "killed", 0
    while True:
        shutil.copytree(first, folder)
        early = open_store(folder / "s.zarr")
        try:
            with killed_at(step):
                job(folder)
        except Killed:
            now = open_store(folder / "s.zarr")
            assert verify(now, deep=True) == [], f"killed at step {step}"
            read_or_refused(early, images)
            if now.manifest.generation == 1 or unsettled(folder / "s.zarr"):
                after(folder)
            assert tiny.bytes_of(folder / "s.zarr") == expected, f"killed at step {step}"
            shutil.rmtree(folder)
            step += 1
        else:
            return step


def unsettled(store: Path) -> bool:
    """Whether a commit waits to be finished, or the command that asked for it to end."""
    return (store / ".fve/journal").exists() or (store / ".fve/finished.json").exists()


def read_or_refused(store: Store, images: np.ndarray) -> None:
    """A store that was opened before gives its own samples, or says that it was replaced."""
    for row in range(len(store)):
        with contextlib.suppress(StoreError):
            assert (store.sample(row)[0] == images[row]).all()


def test_an_overwriting_build(first: Path, more: Path, tmp_path: Path) -> None:
    def overwrite(folder: Path) -> object:
        changed = tiny.settings(views_rule="axial", size=16, order=2)
        return build(more, folder / "s.zarr", settings=changed, overwrite=True)

    assert every_kill(first, tmp_path, overwrite, overwrite) > 60
    assert open_store(tmp_path / "undisturbed/s.zarr").manifest.generation == 2


def test_an_overwriting_build_killed_twice(first: Path, more: Path, tmp_path: Path) -> None:
    """Killed while it committed, and again while it went on: it still replaces the store once."""

    def overwrite(folder: Path) -> object:
        return build(
            more, folder / "s.zarr", settings=tiny.settings(views_rule="axial", size=16), overwrite=True
        )

    shutil.copytree(first, tmp_path / "undisturbed")
    overwrite(tmp_path / "undisturbed")
    expected = tiny.bytes_of(tmp_path / "undisturbed/s.zarr")
    once = tmp_path / "once"
    for step in itertools.count(20):
        shutil.copytree(first, once)
        with contextlib.suppress(Killed), killed_at(step):
            overwrite(once)
        if open_store(once / "s.zarr").manifest.generation == 2:
            break
        shutil.rmtree(once)
    settled = 0
    for step in itertools.count():
        folder = tmp_path / f"twice-{step}"
        shutil.copytree(once, folder)
        try:
            with killed_at(step):
                overwrite(folder)
        except Killed:
            if unsettled(folder / "s.zarr"):
                overwrite(folder)
            else:
                settled += 1  # it died after its last step, as good as through
            assert tiny.bytes_of(folder / "s.zarr") == expected, f"killed at step {step}"
            shutil.rmtree(folder)
        else:
            break
    assert step > 8
    assert settled <= 1


def test_an_append(first: Path, more: Path, tmp_path: Path) -> None:
    def append(folder: Path) -> object:
        return build(more, folder / "s.zarr")

    assert every_kill(first, tmp_path, append, append) > 40


def test_repair_after_an_append_was_killed(first: Path, more: Path, tmp_path: Path) -> None:
    def append(folder: Path) -> object:
        return build(more, folder / "s.zarr")

    def damage_and_repair(folder: Path) -> object:
        shard = folder / "s.zarr/images/c/0/0/0/0"
        data = bytearray(shard.read_bytes())
        data[10] ^= 1
        shard.write_bytes(data)
        done = repair_store(str(folder / "s.zarr"), {"": more}, folder / "s.work", RESOURCES)
        assert (done.repaired, done.left) == ((0,), ())
        return append(folder)

    every_kill(first, tmp_path, append, damage_and_repair)


@pytest.mark.parametrize("kind", ["convert", "copy"])
def test_a_new_store_killed_at_its_commit_is_finished_by_running_it_again(
    first: Path, tmp_path: Path, kind: str
) -> None:
    source = open_store(first / "lazy.zarr")

    def make(out: Path) -> object:
        if kind == "convert":
            return convert_store(source, str(out), SETTINGS, RESOURCES)
        return copy_cases([source], ["tiny/c01"], str(out), RESOURCES)

    make(tmp_path / "undisturbed.zarr")
    expected, step = tiny.bytes_of(tmp_path / "undisturbed.zarr"), 0
    while True:
        out = tmp_path / f"{step}.zarr"
        try:
            with killed_at(step):
                make(out)
        except Killed:
            if not (out / "manifest.json").exists() or unsettled(out):
                make(out)
            assert tiny.bytes_of(out) == expected, f"killed at step {step}"
            step += 1
        else:
            break
    assert step > 40
    with pytest.raises(BuildError, match="is a store already"):
        make(tmp_path / "undisturbed.zarr")


def test_a_killed_repair_leaves_nothing_behind(first: Path, root: Path, tmp_path: Path) -> None:
    expected = tiny.bytes_of(first / "s.zarr")
    step = 0
    while True:
        folder = tmp_path / str(step)
        shutil.copytree(first, folder)
        (folder / "s.zarr/masks/c/1/0/0").write_bytes(b"damage")
        try:
            with killed_at(step):
                repair_store(str(folder / "s.zarr"), {"": root}, folder / "s.work", RESOURCES)
        except Killed:
            repair_store(str(folder / "s.zarr"), {"": root}, folder / "s.work", RESOURCES)
            assert tiny.bytes_of(folder / "s.zarr") == expected, f"killed at step {step}"
            step += 1
        else:
            break
    assert step > 10


def test_repair_keeps_what_a_killed_build_has_staged(
    first: Path, more: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(first, tmp_path, dirs_exist_ok=True)
    out = tmp_path / "s.zarr"

    def refuse(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("fve_pipeline.build.transaction.commit", refuse)
        with pytest.raises(Killed):
            build(more, out)
    staged = tiny.bytes_of(out / ".fve/build")
    assert staged
    (out / "masks/c/0/0/0").write_bytes(b"damage")
    assert repair_store(str(out), {"": more}, tmp_path / "s.work", RESOURCES).left == ()
    assert tiny.bytes_of(out / ".fve/build") == staged


def test_repair_looks_again_once_it_holds_the_lock(
    first: Path, more: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An append that ends between the question and the lock has replaced the tail shard."""
    shutil.copytree(first, tmp_path, dirs_exist_ok=True)
    out = tmp_path / "s.zarr"
    (out / "masks/c/0/0/0").write_bytes(b"damage")
    locked = repair_module.transaction

    def append_first(*args: Any, **options: Any) -> Any:
        build(more, out)
        return locked(*args, **options)

    monkeypatch.setattr(repair_module, "transaction", append_first)
    assert repair_store(str(out), {"": more}, tmp_path / "s.work", RESOURCES).left == ()
    assert verify(open_store(out), deep=True) == []
    assert open_store(out).manifest.n_cases == 3


def test_no_job_commits_once_its_lock_is_broken(
    first: Path, root: Path, more: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(first, tmp_path, dirs_exist_ok=True)
    (tmp_path / "lazy.zarr/masks/c/0/0/0").write_bytes(b"damage")
    before = tiny.bytes_of(tmp_path)
    source = open_store(tmp_path / "s.zarr")

    def broken(_: BuildLock) -> None:
        raise StoreLockedError("broken")

    monkeypatch.setattr(BuildLock, "check", broken)
    jobs: list[Callable[[], object]] = [
        lambda: build(more, tmp_path / "s.zarr"),
        lambda: copy_cases([source], ["tiny/c00"], str(tmp_path / "copy.zarr"), RESOURCES),
        lambda: convert_store(
            open_store(first / "lazy.zarr"), str(tmp_path / "made.zarr"), SETTINGS, RESOURCES
        ),
        lambda: encode_prepared(tmp_path / "s.work", LAZY, str(tmp_path / "other.zarr"), RESOURCES),
        lambda: repair_store(str(tmp_path / "lazy.zarr"), {"": root}, tmp_path / "lazy.work", RESOURCES),
    ]
    for job in jobs:
        with pytest.raises(StoreLockedError, match="broken"):
            job()
    now = tiny.bytes_of(tmp_path)
    committed = {key for key in now if "/.fve/" not in key and ".work/" not in key}
    assert committed == {key for key in before if "/.fve/" not in key and ".work/" not in key}
    assert all(now[key] == before[key] for key in committed)


def test_the_folder_of_prepared_cases_has_one_user(first: Path, root: Path, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path, dirs_exist_ok=True)
    out, work = tmp_path / "s.zarr", tmp_path / "s.work"
    (out / "masks/c/0/0/0").write_bytes(b"damage")
    request = PrepareRequest(datasets=tiny.datasets(root), work=work, settings=SETTINGS)
    jobs: list[Callable[[], object]] = [
        lambda: build(root, tmp_path / "n.zarr", work=work),
        lambda: prepare(request, RESOURCES),
        lambda: encode_prepared(work, SETTINGS, str(tmp_path / "n.zarr"), RESOURCES),
        lambda: repair_store(str(out), {"": root}, work, RESOURCES),
    ]
    with working_in(work):
        for job in jobs:
            with pytest.raises(StoreLockedError, match=r"s\.work is being built by"):
                job()


def test_a_commit_that_cannot_be_finished_can_be_overwritten(first: Path, more: Path, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path, dirs_exist_ok=True)
    out = tmp_path / "s.zarr"
    (out / ".fve/journal").mkdir()
    (out / ".fve/journal/commit.json").write_text('{"moves": []')
    with pytest.raises(ValueError, match=r"commit\.json does not say how to finish a commit.*--overwrite"):
        build(more, out)
    build(more, out, overwrite=True)
    assert verify(open_store(out), deep=True) == []


def test_only_the_transaction_commits() -> None:
    package = Path(repair_module.__file__).parents[1]
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(
            f"import {name}" in line or f", {name}" in line
            for line in path.read_text().splitlines()
            for name in ("commit", "restore_shards", "recover")
            if line.startswith("from fve_pipeline.store.")
        )
    }
    assert users == {"build/transaction.py"}


def test_a_store_is_not_left_locked_by_a_refusal(first: Path, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path, dirs_exist_ok=True)
    with pytest.raises(ZeroDivisionError), transaction(str(tmp_path / "s.zarr"), RESOURCES):
        raise ZeroDivisionError
    with transaction(str(tmp_path / "s.zarr"), RESOURCES) as store:
        assert store.base is not None
        assert recover(store.files) is None
