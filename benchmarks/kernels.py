"""How fast are the kernels, beside a memory copy and beside other ways to do the same?

All contenders of a table run in turn, round after round in one process, and their medians are compared: on a
shared machine the ratios hold where the times don't. Every contender's result is compared with ours first.

    python benchmarks/kernels.py [--size 512 --depth 100 --rounds 9 --json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import torch
from kernels_peers import opencv_encode, torch_encode

from fve_kernels import cpu, cuda_arrays, reference
from fve_kernels.cpu_percentiles import percentiles
from fve_kernels.cpu_rescale import rescale

Row = dict[str, Any]


def medians(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Seconds that each contender takes, all of them in turn in every round; the first round warms up.

    Each runs twice in a row and the second run counts: the first pays for what the contender before it left
    in the caches, and for cores that were asleep.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(rounds + 1):
        for name, run in contenders.items():
            run()
            start = time.perf_counter()
            run()
            if round_:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def copy_in_two_threads(source: np.ndarray, target: np.ndarray) -> None:
    half = len(source) // 2
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda part: np.copyto(target[part], source[part]), (slice(half), slice(half, None))))


def encoding(depth: int, size: int, rounds: int) -> list[Row]:
    """Output bytes a second of whole-volume encoding, k = 1…4."""
    volume = np.random.default_rng(0).integers(0, 256, (depth, size, size), np.uint8)
    few = volume[: min(depth, 12)]  # numpy and torch get fewer slices: they are far from memory's speed
    out, source = np.zeros((depth, size, size, 3), np.uint8), np.ones((depth, size, size, 3), np.uint8)
    tensor = torch.from_numpy(few)
    rows: list[Row] = []
    for order in range(1, 5):
        expected = cpu.encode(few, order)
        for name, result in (
            ("numpy", reference.encode(few, order)),
            ("torch", torch_encode(tensor, order).numpy()),
            ("opencv", opencv_encode(few, order, np.empty((*few.shape, 3), np.uint8))),
        ):
            if not np.array_equal(result, expected):
                sys.exit(f"{name} disagrees at order {order}: nothing to compare")
        taken = medians(
            {
                "memcpy, two threads": lambda: copy_in_two_threads(source, out),
                "numpy, Algorithm 1 as written": lambda order=order: reference.encode(few, order),
                "torch, two threads": lambda order=order: torch_encode(tensor, order),
                "OpenCV area halving + interleave": lambda order=order: opencv_encode(volume, order, out),
                "fve, one thread": lambda order=order: cpu.encode(volume, order, out=out),
                "fve, two threads": lambda order=order: cpu.encode(volume, order, out=out, threads=2),
            },
            rounds,
        )
        share = {name: len(few) / depth if name.startswith(("numpy", "torch")) else 1 for name in taken}
        speed = {name: out.nbytes * share[name] / seconds / 1e9 for name, seconds in taken.items()}
        base = speed["memcpy, two threads"]
        rows += [
            {"case": f"encode k={order}", "what": name, "GB/s": value, "of memcpy": value / base}
            for name, value in speed.items()
        ]
    return rows


def intensity(millions: int, rounds: int) -> list[Row]:
    """Windowing and percentiles of a CT-like volume, half air."""
    rng = np.random.default_rng(1)
    n = millions * 10**6
    noise = rng.standard_normal(1 << 20)
    air = np.resize(np.repeat(np.arange(64) % 2 == 0, 4096), n)
    ct = np.where(air, np.resize(noise * 10 - 1000, n), np.resize(noise[::-1] * 60 + 40, n)).astype(np.int16)
    out = np.empty(n, np.uint8)
    rows: list[Row] = []
    for volume in (ct, ct.astype(np.float32)):
        taken = medians(
            {
                "numpy": lambda v=volume: numpy_window(v),
                "numpy, single precision": lambda v=volume: numpy_window_single(v),
                "fve, one thread": lambda v=volume: rescale(v, -160, 240, -160, 240, out=out),
                "fve, two threads": lambda v=volume: rescale(v, -160, 240, -160, 240, out=out, threads=2),
            },
            rounds,
        )
        rows += against_numpy(f"window {volume.dtype}", taken, volume.nbytes)
        taken = medians(
            {
                "numpy": lambda v=volume: np.percentile(v, (0.5, 99.5)),
                "fve, one thread": lambda v=volume: percentiles(v, (0.5, 99.5)),
                "fve, two threads": lambda v=volume: percentiles(v, (0.5, 99.5), threads=2),
                "fve, one thread, > 0": lambda v=volume: percentiles(v, (0.5, 99.5), positive=True),
            },
            max(rounds // 3, 1),
        )
        rows += against_numpy(f"percentiles {volume.dtype}", taken, volume.nbytes)
    return rows


def numpy_window(volume: np.ndarray) -> np.ndarray:
    """As scripts write it; numpy computes integers in double precision then."""
    return np.floor((np.clip(volume, -160.0, 240.0) + 160.0) / 400.0 * 255.0 + 0.5).astype(np.uint8)


def numpy_window_single(volume: np.ndarray) -> np.ndarray:
    """The same with each step kept in single precision: numpy's fastest."""
    low, span = np.float32(-160), np.float32(400)
    scaled = (np.clip(volume, -160, 240).astype(np.float32) - low) * np.float32(255) / span
    return (scaled + np.float32(0.5)).astype(np.uint8)


def against_numpy(case: str, taken: dict[str, float], nbytes: int) -> list[Row]:
    return [
        {
            "case": case,
            "what": name,
            "ms": seconds * 1e3,
            "GB/s": nbytes / seconds / 1e9,
            "times numpy": taken["numpy"] / seconds,
        }
        for name, seconds in taken.items()
    ]


def first_result() -> list[Row]:
    """A fresh process, from importing the kernel to its first encoded slice: never compiled, and compiled."""
    script = (
        "import time; start = time.perf_counter(); import numpy as np; from fve_kernels import cpu; "
        "cpu.encode(np.zeros((3, 64, 64), np.uint8), 2); print(time.perf_counter() - start)"
    )
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        for name, runs in (("compiling", 1), ("from the disk cache", 3)):
            times = [
                float(subprocess.check_output([sys.executable, "-c", script], env=environment, text=True))
                for _ in range(runs)
            ]
            rows.append({"case": "first result", "what": name, "ms": statistics.median(times) * 1e3})
    return rows


def on_cuda(depth: int, size: int, rounds: int) -> list[Row]:
    """Output bytes a second against a copy within the device, where there is one."""
    from numba import cuda as driver

    from fve_kernels import cuda

    volume = driver.to_device(np.random.default_rng(0).integers(0, 256, (depth, size, size), np.uint8))
    out = driver.device_array((depth, size, size, 3), np.uint8)
    source = driver.device_array((depth, size, size, 3), np.uint8)
    rows: list[Row] = []

    def waited(run: Callable[[], Any]) -> Callable[[], None]:
        def both() -> None:
            run()
            driver.synchronize()

        return both

    for order in range(1, 5):
        taken = medians(
            {
                "copy on the device": waited(lambda: out.copy_to_device(source)),
                "fve": waited(lambda order=order: cuda.encode(volume, order, out=out)),
            },
            rounds,
        )
        rows += [
            {
                "case": f"cuda encode k={order}",
                "what": name,
                "GB/s": out.nbytes / seconds / 1e9,
                "of memcpy": taken["copy on the device"] / seconds,
            }
            for name, seconds in taken.items()
        ]
    return rows


def table(rows: list[Row]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))

    def shown(value: Any) -> str:
        return f"{value:.2f}" if isinstance(value, float) else str(value)

    cells = [columns, *([shown(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    return "\n".join(line.rstrip() for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--depth", type=int, default=100, help="slices of the volume to encode")
    parser.add_argument("--size", type=int, default=512, help="their height and width")
    parser.add_argument("--millions", type=int, default=79, help="voxels to window, in millions")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(2)
    rows = encoding(arguments.depth, arguments.size, arguments.rounds)
    rows += intensity(arguments.millions, arguments.rounds)
    rows += first_result()
    if cuda_arrays.is_available():
        rows += on_cuda(arguments.depth, arguments.size, arguments.rounds)
    print(json.dumps(rows, indent=1) if arguments.json else table(rows))


if __name__ == "__main__":
    main()
