"""Does `fve view --pred` answer at once for a store of 10,000 cases?

The store is that of report_scale.py; predictions are files by name alone, scored by a table as fve evaluate writes it. Times
are those of requests over HTTP, as the page makes them: the store, the first cases by name, by mean Dice and by a class's,
a search, and the last hundred.

    python benchmarks/viewer_scale.py [--cases 10000]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parent))

from report_scale import CLASSES, made_store

from fve_pipeline.look.viewer import StoreSlices, serve
from fve_pipeline.look.viewer.predictions import Predictions

ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = made_store(Path(folder) / "slices.zarr", given.cases)
        names = store.cases.column("case").to_pylist()
        maps = Path(folder) / "maps"
        for name in names:
            path = maps / f"{name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        rows = [(name, number + 1) for name in names for number in range(CLASSES)]
        dice = np.random.default_rng(0).random(len(rows))
        columns = {
            "case": [name for name, _ in rows],
            "class_id": [number for _, number in rows],
            "dsc": dice,
        }
        started = time.perf_counter()
        slices = StoreSlices(store, Predictions(store, maps, pa.table(columns)))
        print(f"{len(names):,} cases found and their scores taken in {time.perf_counter() - started:.2f} s")
        with serve(slices) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            dataset = names[0].partition("/")[0]
            for told, path, query in (
                ("the store", "/api/store", {}),
                ("first cases by name", "/api/cases", {}),
                ("first cases by mean Dice", "/api/cases", {"by": "dice"}),
                ("first cases by a class's Dice", "/api/cases", {"by": f"{dataset}/1"}),
                ("a search, by mean Dice", "/api/cases", {"by": "dice", "words": "1 train"}),
                ("the last hundred by mean Dice", "/api/cases", {"by": "dice", "start": len(names) - 100}),
                ("a case", "/api/case", {"case": names[-1]}),
            ):
                took = []
                for _ in range(ROUNDS):
                    started = time.perf_counter()
                    address = f"http://127.0.0.1:{server.server_port}{path}"
                    urllib.request.urlopen(f"{address}?{urlencode({**query, 'token': server.token})}").read()
                    took.append(time.perf_counter() - started)
                print(f"{told:<32}{1000 * statistics.median(took):8.0f} ms")
            server.shutdown()


if __name__ == "__main__":
    main()
