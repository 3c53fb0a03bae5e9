"""A header that promises more than the machine has fails its own case, and nothing else."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import tiny

from fve_pipeline.runtime.executor import Executor
from fve_pipeline.store.reader import open_store


def test_a_promise_larger_than_the_memory_fails_alone(tmp_path: Path, executor: Executor) -> None:
    root = tiny.write_cohort(tmp_path / "c", 2)
    header = nib.load(root / "c00_ct.nii.gz").header.copy()
    header.set_data_shape((4000, 1500, 1000))  # 12 GB of int16; the bytes could just be that much, inflated
    data = gzip.compress(header.binaryblock + b"\0" * 4096, mtime=0) + np.random.default_rng(0).bytes(
        12 << 20
    )
    (root / "c01_ct.nii.gz").write_bytes(data)

    summary = tiny.build(tiny.datasets(root), tmp_path / "s.zarr", executor, settings=tiny.settings())

    (failure,) = summary.failures
    assert failure.case == "tiny/c01"
    assert failure.reason.startswith("c01_ct.nii.gz: by its header it needs ")
    assert "all workers may use 4.3 GB. Correct the header, or give more --memory" in failure.reason
    assert open_store(tmp_path / "s.zarr").cases.column("case").to_pylist() == ["tiny/c00"]
