"""A build whose system calls are refused by the kernel's own door (strace's fault injection): reading too.

The suite takes one of each kind of call; ``pytest tests/build/test_build_strace.py --machine-examples 200`` takes all.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import one_build
import pytest
import tiny

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

# Calls that a build makes and that importing it hardly does, with what a system says.
WRITING = {"fsync": "EIO", "rename": "ENOSPC", "mkdir": "EROFS", "flock": "ENOLCK"}
READING = {"openat": "EMFILE", "read": "EIO"}


def trace(root: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    script = Path(one_build.__file__)
    paths = os.pathsep.join([str(script.parent), *sys.path])
    return subprocess.run(
        [
            "strace",
            "-f",
            "-qq",
            "-o",
            str(out.parent / "calls"),
            *options,
            sys.executable,
            str(script),
            str(root),
            str(out),
        ],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_cohort(tmp_path_factory.mktemp("cohort"), 1)


@pytest.fixture(scope="module")
def counted(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, int], dict[str, bytes]]:
    """How often each call is made, and the bytes of a build that is not disturbed."""
    out = tmp_path_factory.mktemp("counted") / "slices.zarr"
    done = trace(root, out, "-e", f"trace={','.join(WRITING)}")
    if "PTRACE" in done.stderr or "not permitted" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    calls = re.findall(r"^\d+\s+(\w+)\(", (out.parent / "calls").read_text(), re.MULTILINE)
    return {name: calls.count(name) for name in WRITING}, tiny.bytes_of(out)


def refused(
    root: Path, out: Path, expected: dict[str, bytes], name: str, code: str, *options: str, at: int = 1
) -> bool:
    """Refuse a call once; whether the build met it. It says so in one line, and run again ends the same."""
    done = trace(root, out, "-e", f"trace={name}", "-e", f"inject={name}:error={code}:when={at}", *options)
    assert "Traceback" not in done.stderr, done.stderr
    met = done.returncode != 0
    if met:
        told = done.stderr.strip()
        assert done.returncode in (1, 2), done.stderr
        assert code in told or os.strerror(getattr(__import__("errno"), code)) in told, told
        assert "\n" not in told
    assert one_build.main(str(root), str(out)) == 0
    assert tiny.bytes_of(out) == expected, (name, at)
    assert not [path for path in out.parent.rglob("*") if path.name.startswith(".partial")]
    return met


@pytest.mark.parametrize("name", WRITING)
def test_writing_is_refused_by_the_system(
    root: Path,
    counted: tuple[dict[str, int], dict[str, bytes]],
    name: str,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    counts, expected = counted
    whole = pytestconfig.getoption("--machine-examples") >= 200
    places = range(1, counts[name] + 1) if whole else [1 + counts[name] // 2]
    met = 0
    for at in places:
        (tmp_path / str(at)).mkdir()
        met += refused(root, tmp_path / str(at) / "slices.zarr", expected, name, WRITING[name], at=at)
    assert met > 0
    print(f"{name}: {met} of {len(places)} places met", file=sys.stderr)


@pytest.mark.parametrize("name", READING)
@pytest.mark.parametrize("what", ["ct", "seg"])
def test_reading_a_source_is_refused_by_the_system(
    root: Path,
    counted: tuple[dict[str, int], dict[str, bytes]],
    name: str,
    what: str,
    tmp_path: Path,
) -> None:
    """A disk that does not answer is the machine's fault: the run ends, and the case is not written off."""
    source = root / f"c00_{what}.nii.gz"
    out = tmp_path / "slices.zarr"
    assert refused(root, out, counted[1], name, READING[name], "-P", str(source))
