"""The script that labs have: SimpleITK, a window, three neighbours, ``cv2.imwrite`` of image and mask, a process pool.

    python benchmarks/build_script.py COHORT OUT [CASES] [PROCESSES]

It keeps no checksums, no record, no splits, and cannot go on where it was stopped; it is what a build is measured
beside (``build.py``).
"""

from __future__ import annotations

import sys
import time
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import SimpleITK as sitk

_LOW, _HIGH = -160, 240


def write_case(case: Path, out: Path) -> int:
    """One case: a PNG of three neighbouring slices, and one of the mask, for each slice."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    cv2.setNumThreads(1)
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(case / "image.nii.gz"))).astype(np.float32)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(case / "labels.nii.gz"))).astype(np.uint8)
    slices = ((np.clip(image, _LOW, _HIGH) - _LOW) / (_HIGH - _LOW) * 255).astype(np.uint8)
    folder = out / case.name
    folder.mkdir(parents=True, exist_ok=True)
    last = len(slices) - 1
    for z, mask in enumerate(labels):
        rgb = np.stack([slices[z], slices[max(z - 1, 0)], slices[min(z + 1, last)]], axis=-1)
        cv2.imwrite(str(folder / f"{z:04d}.png"), rgb)
        cv2.imwrite(str(folder / f"{z:04d}_mask.png"), mask)
    return len(slices)


def main() -> None:
    """Write the first cases of the cohort, and say how long it took."""
    cohort, out = Path(sys.argv[1]), Path(sys.argv[2])
    count, processes = (int(text) for text in (*sys.argv[3:], *("10", "2")[len(sys.argv) - 3 :]))
    chosen = sorted(path for path in cohort.iterdir() if path.is_dir())[:count]
    with get_context("fork").Pool(processes) as pool:
        start = time.perf_counter()
        written = sum(pool.starmap(write_case, [(case, out) for case in chosen], chunksize=1))
        seconds = time.perf_counter() - start
    print(f"{written} slices in {seconds:.1f} s: {written / seconds:.1f} slices/s")


if __name__ == "__main__":
    main()
