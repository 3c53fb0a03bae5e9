"""What the evidence's runs need, made once below one folder: stores, the max projection's store, coresets, weights."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import zarr
from evidence_cohort import make_cohort

from fve_pipeline.store.reader import open_store

__all__ = ["COMMAND", "make_ground"]

COMMAND = (sys.executable, "-m", "fve_pipeline")
_SEEDS = range(5)
_METHODS = ("random", "stratified", "multicover", "facility")
_COHORTS = {"organs": (0, 24), "held": (50, 12), "shapes": (100, 16)}  # first subject, how many
_CASES = 6  # of a coreset
_DEPTH = 4  # slices a side that the max projection sees: as many as FVE of order 2

# The backbone's and the mask decoder's start, as the papers start from weights that have seen single images: order 0,
# all discs one class, and no classification loss, so that nothing is known of presence.
PRETRAIN = """\
[model]
preset = "small"
[optimisation]
batch = 8
epochs = {epochs}
lr = 1e-3
warmup_steps = 20
[losses]
classification = 0.0
[data]
order = 0
augment = "none"
sampling = "class_balanced"
[run]
device = "cpu"
precision = "float32"
trackers = []
"""


def make_ground(out: Path, claims: Sequence[str], fewer: int = 1) -> None:
    """Make what is not there yet below ``out``: subjects to train on, others to be judged on, others to start from.

    ``fewer``: the subjects are as many times fewer, and the start is trained for one epoch where that is above 1.
    """
    for name, (first, subjects) in _COHORTS.items():
        if not (out / f"{name}.zarr").exists():
            _build(out, name, range(first, first + subjects // fewer), f"{name}.zarr", "--storage", "slices")
    for name in ("organs", "held") if "fve" in claims else ():
        if not (out / f"{name}_projected.zarr").exists():
            _project(out, name, fewer)
    for method, seed in product(_METHODS, _SEEDS) if "coreset" in claims else ():
        chosen = out / f"{method}-{seed}.parquet"
        if not chosen.exists():
            how = ("--cases", str(_CASES), "--method", method, "--seed", str(seed), "--out", str(chosen))
            _fve("coreset", "select", str(out / "organs.zarr"), *how)
    if not (out / "pretrained.pt").exists():
        (out / "pretrain.toml").write_text(PRETRAIN.format(epochs=10 if fewer == 1 else 1))
        run = out / "pretrain"
        how = ("--out", str(run), "--config", str(out / "pretrain.toml"), "--no-validation", "--resume")
        _fve("train", str(out / "shapes.zarr"), *how)
        shutil.copy(max((run / "checkpoints").glob("step-*.pt")), out / "pretrained.pt")
        shutil.rmtree(run / "checkpoints")


def _build(out: Path, name: str, subjects: range, store: str, *how: str) -> None:
    """By default plain slices, which are encoded with any order when they are read."""
    folder = out / "files" / name
    # One data set, whoever is in it: a class of the held-out subjects is the class that was trained.
    catalog = make_cohort(folder, "shapes" if name == "shapes" else "organs", subjects)
    val = str(float(name == "held"))
    _fve(
        "build",
        str(catalog),
        "--root",
        str(folder),
        "--out",
        str(out / store),
        "--size",
        "64",
        "--val",
        val,
        *how,
    )


def _project(out: Path, name: str, fewer: int) -> None:
    """Make a store whose context channels are the maxima of the slices before and after.

    The images of an encoded store are replaced through zarr, as any program could; its manifest still has the hashes of
    what was there, which a reader of slices does not look at.
    """
    made = f"{name}.tmp.zarr"
    first, subjects = _COHORTS[name]
    _build(out, name, range(first, first + subjects // fewer), made, "--order", "1", "--overwrite")
    store = open_store(out / made)
    images = zarr.open_array(out / made / "images", mode="r+")
    whole = np.asarray(images[:])
    cases = np.asarray(store.index.column("case").to_pylist())
    for case in np.unique(cases):
        rows = np.flatnonzero(cases == case)
        focal = whole[rows, ..., 0]
        for i, row in enumerate(rows):
            before, after = focal[max(0, i - _DEPTH) : i], focal[i + 1 : i + 1 + _DEPTH]
            whole[row, ..., 1] = before.max(0) if len(before) else focal[i]
            whole[row, ..., 2] = after.max(0) if len(after) else focal[i]
    images[:] = whole
    (out / made).rename(out / f"{name}_projected.zarr")


def _fve(*args: str) -> None:
    subprocess.run((*COMMAND, *args), check=True, stdout=sys.stderr)
