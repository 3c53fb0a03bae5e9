"""A build whose kernels run on a GPU gives the CPU's bytes. Under numba's simulator here, on any machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

pytest.importorskip("fve_kernels.cuda_arrays")


def build(root: Path, out: Path, device: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    options = ["--size", "16", "--workers", "1", "--memory", "2GB", "--device", device, "--order", "2"]
    command = [sys.executable, "-m", "fve_pipeline", "build", str(root / "tiny.toml"), "--root", str(root)]
    return subprocess.run(
        [*command, "--out", str(out), *options],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=300,
        check=False,
    )


def test_both_devices_build_the_same_bytes(tmp_path: Path) -> None:
    root = tiny.write_cohort(tmp_path / "cohort", 1)
    for device, simulated in (("cpu", "0"), ("cuda", "1")):
        done = build(root, tmp_path / f"{device}.zarr", device, NUMBA_ENABLE_CUDASIM=simulated)
        assert done.returncode == 0, done.stderr.decode()
    assert tiny.bytes_of(tmp_path / "cuda.zarr") == tiny.bytes_of(tmp_path / "cpu.zarr")


def test_no_gpu_is_said_before_anything_is_read(tmp_path: Path) -> None:
    from fve_kernels.cuda_arrays import is_available

    if is_available():
        pytest.skip("this machine has a GPU")
    root = tiny.write_cohort(tmp_path / "cohort", 1)
    done = build(root, tmp_path / "s.zarr", "cuda")
    assert done.returncode == 2
    assert b"no GPU can be used" in done.stderr
    assert not (tmp_path / "s.zarr").exists()
