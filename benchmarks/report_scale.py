"""How long does `fve report` take for a store of 10,000 cases, how large is the page, how fast does it open?

The store is made: 60 datasets, 5 classes each, two noisy slices a case (nothing compresses worse), written
through the same commit as a build's. The page is opened in Chromium when there is one.

    python benchmarks/report_scale.py [--cases 10000]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fve_pipeline.files.open import open_files
from fve_pipeline.look.report.page import make_report
from fve_pipeline.runtime.progress import Silent
from fve_pipeline.store.commit import StoreContent, commit
from fve_pipeline.store.content import row_digest
from fve_pipeline.store.documents import mask_codec, pixel_codec
from fve_pipeline.store.layout import MASKS, staged_shard
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.receipt import Receipt, write_receipt
from fve_pipeline.store.schema import SourceEntry, StoreSettings, Versions
from fve_pipeline.store.shard import write_shard
from fve_pipeline.store.tables import CASES_SCHEMA, CLASSES_SCHEMA, INDEX_SCHEMA

DATASETS, CLASSES, SLICES, SIDE = 60, 5, 2, 256


def made_store(folder: Path, cases: int) -> Store:
    settings = StoreSettings.model_validate(
        {"preset": "paper", "storage": "slices", "size": SIDE, "shard_samples": 500}
    )
    files = open_files(str(folder))
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (SIDE, SIDE), np.uint8) for _ in range(8)]
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for number in range(CLASSES):
        mask[20 + 40 * number : 50 + 40 * number, 30:200] = number + 1
    chunks = [pixel_codec(settings).encode_chunk(image[None]) for image in images]
    mask_chunk = mask_codec(settings).encode_chunk(mask[None])
    ids = list(range(1, CLASSES + 1))
    index: list[dict[str, Any]] = []
    table: list[dict[str, Any]] = []
    for case in range(cases):
        dataset = f"set{case * DATASETS // cases:02d}"
        shared = {"case": f"{dataset}/c{case}", "dataset": dataset, "subject": f"s{case}", "modality": "CT"}
        shared |= {
            "split": "val" if case % 10 == 0 else "train",
            "source": f"c{case}.nii.gz",
            "source_sha256": "",
        }
        index += [
            shared
            | {
                "rendition": "image",
                "view": "axial",
                "slice": z,
                "z_mm": float(z),
                "spacing": [1.0, 1.0, 1.0],
            }
            | {"shape": [SIDE, SIDE], "class_ids": ids, "class_pixels": [5100] * CLASSES}
            for z in range(SLICES)
        ]
        table.append(
            shared
            | {"shape": [SLICES, SIDE, SIDE], "spacing": rng.uniform(0.5, 5, 3).tolist(), "notes": []}
            | {"class_ids": ids, "class_voxels": rng.integers(1000, 9999, CLASSES).tolist()}
            | {"class_extent": [[9.0, 9.0, 9.0]] * CLASSES, "pixels_sha256": f"{case}", "n_samples": SLICES}
            | {"class_centroid": rng.uniform(0.2, 0.8, (CLASSES, 3)).tolist(), "gradient_energy": 1.0}
            | {
                "quantiles": sorted(rng.integers(0, 256, 7).tolist()),
                "decision": "image: untouched",
                "labels": [],
                "recipe": '{"case": {"renditions": []}}',
            }
        )
    receipts = {}
    step = settings.shard_samples
    for shard, start in enumerate(range(0, len(index), step)):
        mine = index[start : start + step]
        keys = [staged_shard("1", member, shard, "0" * 64) for member in (settings.member, MASKS)]
        receipts[shard] = Receipt(
            shard=shard,
            first_row=start,
            n_rows=len(mine),
            plan_hash="0" * 64,
            images=write_shard(files, keys[0], (chunks[i % 8] for i in range(len(mine))), step),
            masks=write_shard(files, keys[1], [mask_chunk] * len(mine), step),
            row_digests=tuple(
                row_digest((r["case"], "image", "axial", r["slice"]), images[i % 8], mask)
                for i, r in enumerate(mine)
            ),
            class_ids=(tuple(ids),) * len(mine),
            class_pixels=((5100,) * CLASSES,) * len(mine),
        )
        write_receipt(files, "1", receipts[shard])
    names = [f"set{d:02d}" for d in range(DATASETS)]
    classes = [
        {
            "dataset": d,
            "class_id": c,
            "name": f"class {c}",
            "ids": [c],
            "label_ids": [c],
            "instance": False,
            "side": "",
            "prompts": [f"class {c}"],
            "renditions": [],
        }
        for d in names
        for c in ids
    ]
    content = StoreContent(
        settings=settings,
        versions=Versions(prepare=1, encode=1),
        sources=[
            SourceEntry(dataset=d, licence="made", citation="made", url="", catalog_sha256="0" * 64)
            for d in names
        ],
        failures=[],
        cases=pa.Table.from_pylist(table, CASES_SCHEMA),
        classes=pa.Table.from_pylist(classes, CLASSES_SCHEMA),
    )
    goal = content.goal({shard: receipt.plan_hash for shard, receipt in receipts.items()})
    commit(files, "1", content, pa.Table.from_pylist(index, INDEX_SCHEMA), receipts, goal)
    return open_store(folder)


def open_seconds(path: Path) -> float | None:
    """From asking for the page until its first picture is drawn; None without a browser."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests/helpers"))
    import chromium

    if chromium.CHROMIUM is None:
        return None
    with tempfile.TemporaryDirectory(prefix="fve-report-", ignore_cleanup_errors=True) as profile:
        page = chromium.Page(Path(profile))
        page.resize(1200)
        start = time.perf_counter()
        page.open(path)
        page.run("new Promise(done => shown.image.complete ? done() : shown.image.onload = done)")
        seconds = time.perf_counter() - start
        page.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fve-report-") as folder:
        store = made_store(Path(folder) / "s.zarr", arguments.cases)
        start = time.perf_counter()
        page = make_report(store, "10,000 cases", Silent())
        seconds = time.perf_counter() - start
        path = Path(folder) / "report.html"
        path.write_text(page, encoding="utf-8")
        opened = open_seconds(path)
        told = "no browser here" if opened is None else f"opened in {opened:.2f} s"
        print(
            f"{arguments.cases:,} cases: made in {seconds:.1f} s, {path.stat().st_size / 1e6:.1f} MB, {told}"
        )


if __name__ == "__main__":
    main()
