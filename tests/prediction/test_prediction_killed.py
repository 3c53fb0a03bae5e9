"""``fve predict`` killed between two volumes: what is whole stays, nothing is half there, and a rerun does the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command import run


def words(inputs: Path, weights: Path, out: Path) -> list[str]:
    asked = ["--prompts", "liver", "--modality", "CT", "--window", "soft_tissue", "--seed", "3"]
    return ["predict", str(inputs), "--weights", str(weights), "--out", str(out), *asked]


def labels(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("v*.npz")}


def test_kill_9(tmp_path: Path, image: np.ndarray, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, whole, out = tmp_path / "in", tmp_path / "whole", tmp_path / "out"
    inputs.mkdir()
    for number in range(5):
        # Repeated in depth, so that there is time between two volumes.
        np.savez(inputs / f"v{number}.npz", imgs=np.roll(image.repeat(3, axis=0), number), spacing=np.ones(3))
    assert run(monkeypatch, *words(inputs, weights, whole)) == 0

    process = subprocess.Popen(
        [sys.executable, "-m", "fve_pipeline", *words(inputs, weights, out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not labels(out):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    first = labels(out)
    assert 1 <= len(first) < 5
    assert all(data == labels(whole)[name] for name, data in first.items())
    before = {name: (out / name).stat().st_mtime_ns for name in first}
    assert run(monkeypatch, *words(inputs, weights, out)) == 0
    assert labels(out) == labels(whole)
    redone = [name for name, then in before.items() if (out / name).stat().st_mtime_ns != then]
    assert len(redone) <= 1  # its report may have been missing yet
    assert not list(out.glob(".partial*"))
