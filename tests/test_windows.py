"""Opening, verifying, loading and predicting need nothing that Windows lacks (fcntl, resource, pread, ...)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import windows

from fve_pipeline.files import atomic
from fve_pipeline.runtime.limits import open_file_limit


def test_what_is_read_is_read_without_what_windows_lacks(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    store = Path(__file__).parent / "store/golden_v1"
    done = subprocess.run(
        [sys.executable, windows.__file__, str(store), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/case.npz").is_file()


def test_a_system_without_limits_on_files_is_given_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert open_file_limit() == 512


def test_a_file_is_written_whole_where_folders_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def as_windows(path: str | Path, flags: int) -> int:
        if Path(path).is_dir():
            raise PermissionError(path)
        return opened(path, flags)

    monkeypatch.setattr(atomic, "_WINDOWS", True)
    monkeypatch.setattr(os, "open", as_windows)
    with atomic.write_whole(tmp_path / "file") as file:
        file.write(b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"
