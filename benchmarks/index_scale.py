"""How long an index of millions of rows takes to write, to open and to filter by class.

``python benchmarks/index_scale.py [ROWS]``, two million unless told otherwise. Rows have zero to eight classes at
random, more varied than real ones, so compression and list columns are at their worst.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fve_pipeline.store.query import rows_of_class
from fve_pipeline.store.tables import INDEX_SCHEMA, table_bytes

SLICES = 100


def made_index(rows: int) -> pa.Table:
    rng = np.random.default_rng(0)
    cases = np.arange(rows) // SLICES
    n_cases = int(cases[-1]) + 1
    datasets = cases // 300 % 60

    def words(codes: np.ndarray, values: list[str]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(values))

    def lists(values: np.ndarray) -> pa.Array:
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))

    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 9, rows))]).astype(np.int32)
    n_classes = int(offsets[-1])
    zeros = np.zeros(rows, int)
    columns = {
        "dataset": words(datasets, [f"dataset_{i}" for i in range(60)]),
        "case": words(cases, [f"dataset/case_{i:06d}" for i in range(n_cases)]),
        "subject": words(cases, [f"subject_{i}" for i in range(n_cases)]),
        "modality": words(datasets % 4, ["CT", "MR", "US", "PET"]),
        "rendition": words(zeros, ["soft_tissue"]),
        "view": words(zeros, ["axial"]),
        "split": words((cases % 10 == 0).astype(int), ["train", "val"]),
        "source": words(cases, [f"images/case_{i:06d}.nii.gz" for i in range(n_cases)]),
        "source_sha256": words(cases, [rng.bytes(32).hex() for _ in range(n_cases)]),
        "slice": pa.array((np.arange(rows) % SLICES).astype(np.int32)),
        "z_mm": pa.array((np.arange(rows) % SLICES * 2.5).astype(np.float32)),
        "spacing": pa.FixedSizeListArray.from_arrays(pa.array(np.tile(np.float32([2.5, 0.8, 0.8]), rows)), 3),
        "shape": pa.FixedSizeListArray.from_arrays(pa.array(np.full(2 * rows, 512, np.int32)), 2),
        "class_ids": lists(rng.integers(1, 120, n_classes).astype(np.uint16)),
        "class_pixels": lists(rng.integers(1, 60_000, n_classes).astype(np.uint32)),
    }
    return pa.table(columns).cast(INDEX_SCHEMA)


def best(action: Callable[[], object], times: int = 5) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main(rows: int) -> None:
    table = made_index(rows)
    start = time.perf_counter()
    data = table_bytes(table, INDEX_SCHEMA)
    print(f"{rows:,} rows: written in {time.perf_counter() - start:.2f} s, {len(data) / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.parquet"
        path.write_bytes(data)
        print(f"open, all columns      {best(lambda: pq.read_table(path)):.3f} s   (goal: under 1)")
        index = pq.read_table(path)
    hits = rows_of_class(index, "dataset_3", 17)
    seconds = best(lambda: rows_of_class(index, "dataset_3", 17))
    print(f"rows of one class      {seconds:.3f} s   (goal: under 0.2; {len(hits):,} found)")
    print(f"in memory              {index.nbytes / 1e6:.0f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000)
