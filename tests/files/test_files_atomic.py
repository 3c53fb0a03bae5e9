"""A file is there whole or not at all, whatever stops its writer."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fve_pipeline.files.atomic import is_partial, replaced_whole, sweep_partials, write_whole

KILLED = """
import os, signal, sys
from pathlib import Path
from fve_pipeline.files.atomic import write_whole
with write_whole(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for content in (b"old", b"new"):
        with write_whole(path) as file:
            file.write(content)
            file.flush()
            assert not path.exists() or path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert [found.name for found in tmp_path.iterdir()] == ["a.json"]


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), write_whole(path) as file:
        file.write(b"half" * (1 // 0))
    assert {found.name: found.read_bytes() for found in tmp_path.iterdir()} == {"a.json": b"old"}


def test_a_killed_writer_leaves_a_name_that_is_swept(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", KILLED, path], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert is_partial(left.name)
    assert not path.exists()
    sweep_partials(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_libraries_see_the_ending(tmp_path: Path) -> None:
    with replaced_whole(tmp_path / "ct.nii.gz") as partial:
        assert partial.parent == tmp_path
        assert partial.name.endswith(".nii.gz")
        partial.write_bytes(b"volume")
    assert (tmp_path / "ct.nii.gz").read_bytes() == b"volume"


@pytest.mark.parametrize("name", ["open", "fsync", "replace"])
def test_a_fault_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = tmp_path / "a.json"

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, name, refuse)
        with pytest.raises(OSError, match="Input/output error") as raised, write_whole(path) as file:
            file.write(b"new")
    assert raised.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []
