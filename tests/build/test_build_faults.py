"""A machine that refuses, at any file operation: one line with path and errno, and a rerun that ends the same."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
import tiny
from inline import InlineExecutor

from fve_pipeline.cli import main as cli
from fve_pipeline.errors import MachineError
from fve_pipeline.files import atomic, locks
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.verify import verify

ERRNOS = (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EROFS, errno.ENOLCK)
OPERATIONS = ("open", "write", "fsync", "rename", "mkdir", "flock")
SETTINGS = tiny.settings(views_rule="axial", size=16, shard_samples=16)


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of the disk is tested, not how long it takes."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@contextlib.contextmanager
def refusing(operation: str, code: int, at: int | None) -> Iterator[list[int]]:
    """Let the ``at``-th call of an operation fail; None for none. Gives the count of its calls, in a list."""
    calls = [0]

    def counted(real: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            calls[0] += 1
            if calls[0] - 1 == at:
                # As the system does: only what is given a path says it.
                named = [args[0]] if operation in ("open", "rename", "mkdir") else []
                raise OSError(code, os.strerror(code), *named)
            return real(*args, **options)

        return call

    class Writing(FileIO):
        def write(self, data: Any) -> int:
            return counted(super().write)(data)  # type: ignore[no-any-return]

    with pytest.MonkeyPatch.context() as patched:
        if operation == "write":
            patched.setattr(atomic, "open", lambda path, mode: Writing(path, mode), raising=False)
        elif operation == "open":
            patched.setattr(os, "open", counted(os.open))
        elif operation == "flock":
            patched.setattr(locks, "lock_descriptor", counted(locks.lock_descriptor))
        else:
            for name in {"fsync": ("fsync",), "rename": ("replace",), "mkdir": ("mkdir",)}[operation]:
                patched.setattr(os, name, counted(getattr(os, name)))
        yield calls


def build(root: Path, out: Path, **options: Any) -> None:
    tiny.build(tiny.datasets(root), out, InlineExecutor(), settings=SETTINGS, **options)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_cohort(tmp_path_factory.mktemp("cohort"), 1)


@pytest.fixture(scope="module")
def undisturbed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed") / "slices.zarr"
    build(root, out)
    return tiny.bytes_of(out)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_call_refused_once(
    root: Path, undisturbed: dict[str, bytes], tmp_path: Path, operation: str
) -> None:
    """Each call fails once, with each of the errnos in turn; all is said, but that the journal's end is not on disk yet."""
    with refusing(operation, errno.EIO, None) as calls:
        build(root, tmp_path / "count.zarr")
    assert calls[0] >= 2
    passed_over = 0
    for at in range(calls[0]):
        out, code = tmp_path / f"{at}.zarr", ERRNOS[at % len(ERRNOS)]
        try:
            with refusing(operation, code, at):
                build(root, out)
        except MachineError as error:
            told = str(error)
            assert errno.errorcode[code] in told, told
            assert str(tmp_path / f"{at}.") in told, told
            assert ".partial" not in told, told
            assert "\n" not in told
            build(root, out)
        else:
            passed_over += 1  # all was done by then, for good
        assert tiny.bytes_of(out) == undisturbed, f"{operation} {at}"
        left = [path for path in tmp_path.rglob("*") if path.name.startswith(".partial")]
        assert left == [], f"{operation} {at}"
    assert passed_over <= 1


@pytest.mark.parametrize("code", ERRNOS, ids=errno.errorcode.get)
def test_every_errno_refused_for_good(root: Path, tmp_path: Path, code: int) -> None:
    for operation in OPERATIONS:
        with refusing(operation, code, 1), pytest.raises(MachineError, match=errno.errorcode[code]):
            build(root, tmp_path / f"{operation}.zarr")


def test_an_overwriting_commit_that_the_disk_refuses_leaves_the_old_store(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "slices.zarr"
    build(root, out)
    shutil.copytree(tmp_path, tmp_path / "count")
    with refusing("rename", errno.ENOSPC, None) as calls:
        build(root, tmp_path / "count/slices.zarr", overwrite=True)
    expected = tiny.bytes_of(tmp_path / "count/slices.zarr")
    for at in range(calls[0]):
        folder = tmp_path / str(at)
        shutil.copytree(out, folder / out.name)
        shutil.copytree(out.with_suffix(".work"), folder / "slices.work")
        with refusing("rename", errno.ENOSPC, at), pytest.raises(MachineError):
            build(root, folder / out.name, overwrite=True)
        assert verify(open_store(folder / out.name), deep=True) == []
        build(root, folder / out.name, overwrite=True)
        assert tiny.bytes_of(folder / out.name) == expected


def test_the_command_says_it_in_one_line(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "slices.zarr"
    words = ["build", str(root / "tiny.toml"), "--root", str(root), "--out", str(out), "--workers", "1"]
    monkeypatch.setattr(sys, "argv", ["fve", *words])
    with refusing("flock", errno.ENOLCK, 0), pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fve: ")]
    assert len(told) == 1
    assert f"{out}/.fve/lock: No locks available (ENOLCK)" in told[0]


def test_a_command_that_writes_one_file_says_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.write_case(tmp_path / "data/images", "c", 0)
    out = tmp_path / "mine.toml"
    monkeypatch.setattr(
        sys, "argv", ["fve", "catalogs", "from-folder", str(tmp_path / "data"), "--out", str(out)]
    )
    with refusing("rename", errno.ENOSPC, 0), pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == 2
    assert f"{out}: No space left on device (ENOSPC)" in capsys.readouterr().err
    assert not out.exists()
