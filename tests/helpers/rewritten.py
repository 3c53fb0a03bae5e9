"""What a store is after some of its rows were changed, and a job on it that is killed at every few file operations."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny
from disturbed import DONE, KILLED, Disturbance, disturbed

from fve_pipeline.store.reader import Store, open_store

__all__ = ["kills", "rows", "store_bytes"]


def rows(store: Store) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Every row by what it is: its columns, pixels and mask."""
    found = {}
    for number, row in enumerate(store.index.to_pylist()):
        pixels, mask = store.sample(number)
        name = row["case"], row["rendition"], row["view"], row["slice"]
        found[name] = (repr(row), pixels.tobytes(), mask.tobytes())
    return found


def kills(tmp_path: Path, job: Callable[[Path], object]) -> None:
    """kill -9 the job at ``base`` before or after every seventh file operation, then once more: the same bytes."""
    was = rows(open_store(tmp_path / "base/s.zarr"))
    shutil.copytree(tmp_path / "base", tmp_path / "undisturbed")
    job(tmp_path / "undisturbed")
    expected = store_bytes(tmp_path / "undisturbed")
    now = rows(open_store(tmp_path / "undisturbed/s.zarr"))
    folder, step = tmp_path / "killed", 0
    while True:
        shutil.copytree(tmp_path / "base", folder)
        early = open_store(folder / "s.zarr")
        outcome = disturbed(lambda: job(folder), Disturbance(step), tmp_path / "note")
        if outcome.kind == DONE:
            break
        assert outcome.kind == KILLED, outcome.message
        assert rows(open_store(folder / "s.zarr")) in (was, now), f"killed at step {step}"
        assert rows(early) == was
        job(folder)
        assert store_bytes(folder) == expected, f"killed at step {step}"
        shutil.rmtree(folder)
        step += 7
    assert step > 60


def store_bytes(folder: Path) -> dict[str, bytes]:
    return {key: data for key, data in tiny.bytes_of(folder / "s.zarr").items() if key != ".fve/lock"}
