"""How much faster are scores from bounding boxes and search trees than class by class on whole volumes?

Makes one CT-sized case of blobs with a slightly moved prediction, scores it with the package and, for a few
of its classes, the straightforward way (compare the whole volume with the id, find surfaces and distances by
whole-volume transforms), checks that the numbers agree, and prints ratios and the time of 1,000 such cases.

    python benchmarks/metrics.py
    python benchmarks/metrics.py --shape 60 256 256 --classes 8
"""

from __future__ import annotations

import argparse
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fve_pipeline.evaluation import Pair, ScoreSettings, score_case
from fve_pipeline.metrics import score_classes, surfel_areas

SPACING = (2.5, 0.8, 0.8)
Mask = NDArray[np.bool_]


def make_case(shape: tuple[int, int, int], classes: int, seed: int = 0) -> tuple[NDArray[np.uint8], ...]:
    """Blobs of organ size with bumpy outlines, and the same moved by a voxel or two."""
    rng = np.random.default_rng(seed)
    truth = np.zeros(shape, np.uint8)
    for label in range(1, classes + 1):
        size = np.array(shape) * rng.uniform([0.2, 0.1, 0.1], [0.8, 0.4, 0.4])
        start = (rng.random(3) * (np.array(shape) - size)).astype(int)
        box = tuple(slice(a, a + int(n)) for a, n in zip(start, size, strict=True))
        view = truth[box]
        axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in view.shape), indexing="ij", sparse=True)
        coarse = rng.normal(0, 0.3, [max(2, n // 12) for n in view.shape])
        bumps = ndimage.zoom(
            coarse, np.array(view.shape) / coarse.shape, order=1, grid_mode=True, mode="nearest"
        )
        view[sum(axis**2 for axis in axes) + bumps < 0.8] = label
    return truth, np.roll(truth, (1, 2), axis=(1, 2))


def whole_volume(truth: Mask, pred: Mask, spacing: tuple[float, float, float]) -> tuple[float, float]:
    """DSC and NSD of one class with nothing cropped."""
    dsc = 2 * (truth & pred).sum() / (truth.sum() + pred.sum())
    codes = []
    for mask in (truth, pred):
        padded = np.pad(mask, 1).view(np.uint8)
        code = np.zeros(np.array(mask.shape) + 1, np.uint8)
        d, h, w = code.shape
        for bit, (z, y, x) in enumerate(product((0, 1), repeat=3)):
            code |= padded[z : z + d, y : y + h, x : x + w] << np.uint8(bit)
        codes.append(code)
    on = [(code != 0) & (code != 255) for code in codes]
    far = [ndimage.distance_transform_edt(~surface, sampling=spacing) for surface in on]
    area = [surfel_areas(spacing)[code[surface]] for code, surface in zip(codes, on, strict=True)]
    near = area[0][far[1][on[0]] <= 2].sum() + area[1][far[0][on[1]] <= 2].sum()
    return float(dsc), float(near / (area[0].sum() + area[1].sum()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", type=int, nargs=3, default=(100, 512, 512))
    parser.add_argument("--classes", type=int, default=15)
    parser.add_argument("--sample", type=int, default=1, help="classes timed the straightforward way")
    args = parser.parse_args()
    truth, pred = make_case(tuple(args.shape), args.classes)
    score_classes(truth[:4], pred[:4], SPACING)  # imports and the table of areas

    start = time.perf_counter()
    ours = score_classes(truth, pred, SPACING)
    seconds = time.perf_counter() - start

    start = time.perf_counter()
    for one in ours[: args.sample]:
        dsc, nsd = whole_volume(truth == one.class_id, pred == one.class_id, SPACING)
        if not np.allclose([dsc, nsd], [one.dsc, one.nsd], rtol=0, atol=1e-9):
            raise AssertionError((one, dsc, nsd))
    plain = (time.perf_counter() - start) / args.sample * len(ours)

    start = time.perf_counter()
    for one in ours:
        t, p = truth == one.class_id, pred == one.class_id
        box = ndimage.find_objects((t | p).view(np.uint8))[0]
        whole_volume(t[box], p[box], SPACING)
    cropped = time.perf_counter() - start

    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.npz" for name in ("truth", "pred")]
        np.savez_compressed(files[0], gts=truth, spacing=np.array(SPACING[::-1]))
        np.savez_compressed(files[1], segs=pred)
        start = time.perf_counter()
        whole = score_case(Pair("case", "", "", *files), ScoreSettings())
        read = time.perf_counter() - start
    if list(whole.classes) != ours:
        raise AssertionError(whole)

    labelled = np.count_nonzero(truth) / truth.size
    hours, plain_hours = read * 1000 / 3600, plain * 1000 / 3600
    print(f"{'×'.join(map(str, args.shape))}, {len(ours)} classes, {labelled:.0%} labelled")
    print(f"whole volumes (from {args.sample} of them)    {plain:8.1f} s a case")
    print(f"the same in each class's box  {cropped:8.1f} s a case")
    ratios = f"{plain / seconds:.0f}× and {cropped / seconds:.0f}× faster"
    print(f"fve_pipeline.metrics          {seconds:8.1f} s a case   {ratios}")
    print(f"with reading from npz         {read:8.1f} s a case")
    print(f"1,000 such cases on one core: {hours:.2f} h (whole volumes: {plain_hours:.0f} h)")


if __name__ == "__main__":
    main()
