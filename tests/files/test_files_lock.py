"""One builder at a time, and the lock goes when its holder does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fve_pipeline.errors import StoreLockedError
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.files.locks import BuildLock

HOLD = """
import sys, time
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.files.locks import BuildLock
with BuildLock(LocalFiles(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path / "new.zarr")
    with (
        BuildLock(files),
        pytest.raises(StoreLockedError, match=f"process {os.getpid()} on"),
        BuildLock(files),
    ):
        pass
    assert files.read(".fve/lock") == b""
    with BuildLock(files):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True, env=environment
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(StoreLockedError, match=f"process {holder.pid} on"),
            BuildLock(LocalFiles(tmp_path)),
        ):
            pass
        holder.send_signal(signal.SIGKILL)
    with BuildLock(LocalFiles(tmp_path)):
        pass
    assert (tmp_path / ".fve/lock").read_bytes() == b""
