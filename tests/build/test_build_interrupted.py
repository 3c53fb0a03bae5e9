"""Killed at any moment and run again, a build ends in the bytes of one that nobody disturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import tiny

CASES = 24


def command(root: Path, out: Path, *more: str) -> list[str]:
    options = ["--size", "128", "--shard-size", "100000", "--workers", "2", "--memory", "4GB", "--json"]
    catalog = str(root / "tiny.toml")
    return [
        sys.executable,
        "-m",
        "fve_pipeline",
        "build",
        catalog,
        "--root",
        str(root),
        "--out",
        str(out),
        *options,
        *more,
    ]


def start(root: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(root, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def finish(root: Path, out: Path) -> dict[str, object]:
    done = subprocess.run(command(root, out), capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    result: dict[str, object] = json.loads(done.stdout)
    return result


def wait_until(happened: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < deadline, "the build did not get that far in a minute"
        time.sleep(0.002)


def receipts(out: Path) -> int:
    return len(list(out.rglob("receipts/*.json")))


def groups(out: Path) -> int:
    return len(list(out.with_suffix(".work").glob("prepared/*/*/labels/zarr.json")))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_cohort(tmp_path_factory.mktemp("cohort"), CASES)


@pytest.fixture(scope="module")
def undisturbed(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed") / "slices.zarr"
    finish(cohort, out)
    return tiny.bytes_of(out)


@pytest.mark.parametrize(
    ("moment", "happened"),
    [
        ("preparing", lambda out: groups(out) >= 5),
        ("encoding", lambda out: receipts(out) >= 3),
    ],
)
def test_kill_9_of_the_build(
    moment: str,
    happened: Callable[[Path], bool],
    cohort: Path,
    undisturbed: dict[str, bytes],
    tmp_path: Path,
) -> None:
    out = tmp_path / "slices.zarr"
    process = start(cohort, out)
    wait_until(lambda: happened(out), process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (out / "manifest.json").exists(), f"killed while {moment}, it is committed already"
    finish(cohort, out)
    assert tiny.bytes_of(out) == undisturbed


def test_kill_9_of_a_worker(cohort: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "slices.zarr"
    process = start(cohort, out)
    wait_until(lambda: groups(out) >= 2, process)
    workers = [child for child in psutil.Process(process.pid).children(recursive=True) if _is_worker(child)]
    workers[0].kill()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    assert tiny.bytes_of(out) == undisturbed


@pytest.mark.slow
def test_a_worker_that_is_silent_for_forty_seconds(
    cohort: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "slices.zarr"
    process = start(cohort, out)
    wait_until(lambda: groups(out) >= 2, process)
    workers = [child for child in psutil.Process(process.pid).children(recursive=True) if _is_worker(child)]
    workers[0].suspend()
    time.sleep(40)
    workers[0].resume()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    assert tiny.bytes_of(out) == undisturbed


def test_ctrl_c_says_how_to_go_on(cohort: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "slices.zarr"
    process = start(cohort, out)
    wait_until(lambda: groups(out) >= 3, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors.decode()
    assert b"run the same command again to go on" in errors
    assert b"Traceback" not in errors, errors.decode()
    finish(cohort, out)
    assert tiny.bytes_of(out) == undisturbed


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:
        return False
