"""Does every method stay under 60 s and 2 GB for 30,000 cases with 128 descriptors, and how long does
filtering the index of 1,000,000 samples take?

Each method runs in a process of its own, so that its peak memory is its own. Two layouts: 68 datasets of
uneven sizes, and the worst case, one dataset of 30,000.

    python benchmarks/coreset_scale.py [--cases 30000] [--threads 2]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa


def made(cases: int, datasets: int) -> pa.Table:
    """Cases in ``datasets`` datasets with sizes falling as 1/rank and 1 to 20 classes each."""
    rng = np.random.default_rng(0)
    weights = 1 / np.arange(1, datasets + 1)
    dataset = np.sort(rng.choice(datasets, cases, p=weights / weights.sum()))
    width = rng.integers(1, 21, datasets)
    classes = [np.flatnonzero(rng.random(width[d]) < 0.7) + 1 for d in dataset]
    return pa.table(
        {
            "case": [f"d{d}/c{i}" for i, d in enumerate(dataset)],
            "dataset": [f"d{d}" for d in dataset],
            "subject": [f"s{i}" for i in range(cases)],
            "modality": [f"m{d % 5}" for d in dataset],
            "class_ids": pa.array([c.tolist() for c in classes], pa.list_(pa.uint16())),
        }
    )


def run_one(method: str, cases: int, datasets: int) -> None:
    from fve_pipeline.coreset import Pool, Tables, select

    table = made(cases, datasets)
    empty = pa.table({"dataset": pa.array([], pa.string()), "class_id": pa.array([], pa.uint16())})
    features = np.random.default_rng(1).standard_normal((cases, 128), np.float32)
    start = time.perf_counter()
    pool = Pool.of([Tables(table, empty, "made")])
    chosen = select(pool, method=method, fraction=0.1, features=features)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    approximate = sum("approximate" in note for note in chosen.notes)
    note = f"  ({approximate} strata approximate)" if approximate else ""
    print(f"{method:<12}{datasets:>9}{len(chosen):>8}{seconds:>10.1f}{peak:>12.2f}{note}")


def filter_million(samples: int = 1_000_000, cases: int = 30_000) -> None:
    from fve_pipeline.store import rows_of_cases

    names = pa.array([f"d/c{i}" for i in range(cases)])
    codes = pa.array(np.repeat(np.arange(cases, dtype=np.int32), samples // cases + 1)[:samples])
    index = pa.table({"case": pa.DictionaryArray.from_arrays(codes, names)})
    wanted = [f"d/c{i}" for i in range(0, cases, 10)]
    start = time.perf_counter()
    rows = rows_of_cases(index, wanted)
    print(f"\nindex of {samples:,} samples, {len(wanted):,} cases wanted: {len(rows):,} rows "
          f"in {time.perf_counter() - start:.3f} s")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=30_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "DATASETS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_one(arguments.one[0], arguments.cases, int(arguments.one[1]))
        return
    from fve_pipeline.coreset import method_names

    print(f"{arguments.cases:,} cases x 128 descriptors, a tenth chosen, {arguments.threads} threads")
    print(f"{'method':<12}{'datasets':>9}{'chosen':>8}{'seconds':>10}{'peak GiB':>12}", flush=True)
    environment = os.environ | dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(arguments.threads)
    )
    for method in method_names():
        for datasets in (68, 1):
            command = [
                sys.executable,
                __file__,
                "--cases",
                str(arguments.cases),
                "--one",
                method,
                str(datasets),
            ]
            subprocess.run(command, check=True, env=environment)
    filter_million()


if __name__ == "__main__":
    main()
