"""What a correction costs: `fve update` of some labels beside building the whole store anew, the other way there is.

``python benchmarks/update.py --cases 60 --changed 1``: made CT cases, the same machine, one run. Prints the shards that were
written, the seconds of each, and the ratio.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from fve_pipeline import build_store
from fve_pipeline.build.cases import datasets_of
from fve_pipeline.build.update import update_store
from fve_pipeline.catalog import load_catalog
from fve_pipeline.demo.cohort.make import make_ct_case
from fve_pipeline.runtime.executor import cluster
from fve_pipeline.runtime.resources import Resources

WORKERS = 2


def main() -> None:
    """Build, change, update, build anew; print what each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--changed", type=int, default=1)
    parser.add_argument("--size", type=int, default=256)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, cluster(WORKERS, None, None) as executor:
        folder = Path(name)
        for number in range(1, asked.cases + 1):
            make_ct_case(folder / "ct" / f"ct_{number:03d}", number, size=160)
        catalog = load_catalog("demo_ct")
        options = {"size": asked.size, "executor": executor}
        build_store(catalog, folder, folder / "s.zarr", **options)
        for number in range(1, asked.changed + 1):
            correct(folder / "ct" / f"ct_{number * asked.cases // (asked.changed + 1):03d}" / "labels.nii.gz")
        started = time.perf_counter()
        done = update_store(
            str(folder / "s.zarr"), datasets_of([catalog], folder), folder / "s.work", Resources(executor)
        )
        updated = time.perf_counter() - started
        started = time.perf_counter()
        build_store(catalog, folder, folder / "anew.zarr", **options)
        anew = time.perf_counter() - started
    print(f"{asked.cases} cases, {done.n_samples} samples, labels of {asked.changed} changed")
    print(f"update: {updated:.2f} s, {done.written} of {done.shards} shards written")
    print(f"build anew: {anew:.2f} s; update takes {updated / anew:.1%} of it")


def correct(path: Path) -> None:
    """Take the last class out of a label map."""
    image = nib.load(path)
    labels = np.asarray(image.dataobj).copy()
    labels[labels == labels.max()] = 0
    nib.save(nib.Nifti1Image(labels, image.affine), path)


if __name__ == "__main__":
    main()
