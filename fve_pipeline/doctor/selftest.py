"""Read, encode, write, load: every step of a build on a made CT, timed and checked."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fve_kernels import reference
from fve_pipeline.build.api import build_store
from fve_pipeline.demo.cohort import make_ct_case
from fve_pipeline.doctor.check import Check
from fve_pipeline.imaging.encoding import encode
from fve_pipeline.imaging.intensity import to_uint8
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.verify import verify
from fve_pipeline.volume import read_image, read_labels
from fve_pipeline.volume.label_file import LabelFile

__all__ = ["self_test"]

_SIZE = 128


def self_test() -> Iterator[Check]:
    """One check a step, in a temporary folder that is removed. A step that fails ends the test."""
    try:
        temporary = tempfile.TemporaryDirectory(prefix="fve-doctor-")
    except OSError as error:
        advice = "point TMPDIR at a folder that can be written"
        yield Check("self-test", "temporary folder", str(error), "problem", advice)
        return
    with temporary as name:
        for step in (_make, _read, _encode, _write, _load):
            title, started = step.__name__.strip("_"), time.perf_counter()
            try:
                said = step(Path(name))
            except Exception as error:  # a failing machine fails in any way: the step and the words help
                yield Check("self-test", title, f"{type(error).__name__}: {error}", "problem")
                return
            yield Check("self-test", title, f"{said}, {time.perf_counter() - started:.2f} s")


def _make(folder: Path) -> str:
    make_ct_case(folder / "ct" / "ct_01", 1, size=_SIZE)
    return "a CT in NIfTI with its labels"


def _read(folder: Path) -> str:
    case = folder / "ct" / "ct_01"
    volume = read_image(case / "image.nii.gz", modality="CT")
    labels = read_labels([LabelFile("labels.nii.gz")], case, volume)
    _require(bool(labels.array.any()), "the label map came back empty")
    return f"{volume.array.nbytes / 1e6:.1f} MB of CT and its labels"


def _encode(folder: Path) -> str:
    volume = read_image(folder / "ct" / "ct_01" / "image.nii.gz", modality="CT")
    image, _ = to_uint8(volume.array, modality="CT", window="soft_tissue")
    images = encode(image, 2)
    middle = [len(image) // 2]
    same = np.array_equal(images[middle], reference.encode(image, 2, focal=middle))
    _require(same, "the compiled kernel gives other bytes than the reference")
    return f"{len(images)} slices at order 2, as the reference encodes them"


def _write(folder: Path) -> str:
    done = build_store(
        "demo_ct",
        folder,
        folder / "slices.zarr",
        workers=1,
        size=_SIZE,
        shard_samples=64,
        training_views=False,
    )
    findings = verify(open_store(folder / "slices.zarr"), deep=True)
    _require(not findings, "; ".join(f"{found.file}: {found.problem}" for found in findings))
    return f"a store of {done.samples} slices by a worker of its own, verified"


def _load(folder: Path) -> str:
    store = open_store(folder / "slices.zarr")
    rows = np.random.default_rng(0).integers(0, len(store), 200).tolist()
    started = time.perf_counter()
    samples = [store.sample(row) for row in rows]
    rate = len(rows) / (time.perf_counter() - started)
    image, mask = samples[0]
    same = np.array_equal(store.images[rows[0]], image) and np.array_equal(store.masks[rows[0]], mask)
    _require(same, "zarr-python reads other bytes than our reader")
    return f"{rate:,.0f} samples/s of {_SIZE}² in one thread, as zarr-python reads them"


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)
