"""Whether reading slows down with the number of samples: one store, and the same one twenty times over.

``python benchmarks/loading_scale.py [--data DIR] [--samples 2016] [--times 20]``

The large store's shards are links to the small one's, so that disk and page cache play no part: what is compared
is all that could grow with N, from opening the index to finding a row. A first pass over a store opens its shards
and meets each page for the first time, so first passes are compared with first passes, and later ones with later
ones. One process, best of the rounds.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import time
from pathlib import Path

import loading_data
import pyarrow as pa
from loading_measure import BATCH, one_at_a_time, ours_by_threads, rate
from loading_ways import open_ours

from fve_pipeline.loading.dataset import SliceDataset
from fve_pipeline.store.layout import shard_key
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.schema import INDEX_SCHEMA, ShardEntry
from fve_pipeline.store.tables import table_bytes

HERE = Path(__file__).parent


def repeated(store: Path, out: Path, times: int) -> Path:
    """A store of ``times`` the whole shards of ``store``, linked."""
    shutil.rmtree(out, ignore_errors=True)
    opened = open_store(store)
    manifest, capacity = opened.manifest, opened.settings.shard_samples
    whole = [entry for entry in manifest.shards if entry.n_rows == capacity]
    shards = []
    for number in range(times * len(whole)):
        entry, sums = whole[number % len(whole)], {}
        for member, total in ((opened.settings.member, entry.images), ("masks", entry.masks)):
            key = shard_key(member, number)  # type: ignore[arg-type]
            (out / key).parent.mkdir(parents=True, exist_ok=True)
            os.link(store / total.key, out / key)
            sums["masks" if member == "masks" else "images"] = total.model_copy(update={"key": key})
        shards.append(ShardEntry(shard=number, n_rows=capacity, **sums))
    rows = opened.index.slice(0, len(whole) * capacity)
    index = table_bytes(pa.concat_tables([rows] * times), INDEX_SCHEMA)
    tables = {}
    for name, table in manifest.tables.items():
        data = index if name == "index" else (store / table.file.key).read_bytes()
        (out / table.file.key).write_bytes(data)
        n_rows = rows.num_rows * times if name == "index" else table.n_rows
        file = table.file.model_copy(update={"size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
        tables[name] = table.model_copy(update={"n_rows": n_rows, "file": file})
    n = rows.num_rows * times
    changed = manifest.model_copy(update={"n_samples": n, "shards": tuple(shards), "tables": tables})
    (out / "manifest.json").write_bytes(changed.to_bytes())
    return out


def timed(store: Path) -> tuple[float, float]:
    """Seconds to open a dataset, and to put an epoch in order."""
    start = time.perf_counter()
    dataset = SliceDataset(store, split=())
    opened = time.perf_counter()
    dataset.sampler().epoch(1)
    return opened - start, time.perf_counter() - opened


def rates(store: Path, seconds: float) -> tuple[float, float, float]:
    """Samples a second: random ones in the first pass, and after it; batches by two threads, after their first."""
    n = len(open_store(store))
    one, batches = one_at_a_time(open_ours(store), n), ours_by_threads(store, None)
    start = time.perf_counter()
    for _ in range(n):
        next(one)
    first = n / (time.perf_counter() - start)
    later = rate(one, seconds)
    for _ in range(n // BATCH):
        next(batches)
    return first, later, rate(batches, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=HERE / "loading.data")
    parser.add_argument("--samples", type=int, default=2016)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    stores = loading_data.make_stores(given.data, given.samples)
    print("| | samples | open, s | order an epoch, s | random/s, first pass | later | 2 threads/s |")
    print("|---|---|---|---|---|---|---|")
    for name in ("encoded-lz4", "slices-lz4"):
        large = repeated(stores[name], stores[name].with_name(f"{name}-repeated.zarr"), given.times)
        best: dict[Path, tuple[float, ...]] = {}
        for _ in range(3):
            for store in (stores[name], large):
                found = rates(store, given.seconds)
                best[store] = tuple(map(max, found, best.get(store, found)))
        for store, found in best.items():
            opening, ordering = timed(store)
            n = len(open_store(store))
            shown = " | ".join(f"{value:,.0f}" for value in found)
            print(f"| {store.stem} | {n:,} | {opening:.3f} | {ordering:.3f} | {shown} |")


if __name__ == "__main__":
    main()
