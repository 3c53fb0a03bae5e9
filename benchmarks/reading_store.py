"""Reading samples from one store: ours beside zarr-python, the zarrs pipeline and tensorstore.

``python benchmarks/reading_store.py [SAMPLES] [FOLDER]``: makes a store of made CT-like slices (512², image and mask) in
each codec, then reads random samples one at a time in one thread, and with two threads. All read the same files, page
cache warm, in turns; the best of three turns counts.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import tensorstore
import zarr
from numpy.typing import NDArray

from fve_pipeline.files.local import LocalFiles
from fve_pipeline.store.commit import StoreContent, commit
from fve_pipeline.store.content import row_digest
from fve_pipeline.store.documents import mask_codec, pixel_codec
from fve_pipeline.store.layout import staged_shard
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.receipt import Receipt
from fve_pipeline.store.schema import CASES_SCHEMA, CLASSES_SCHEMA, INDEX_SCHEMA, StoreSettings, Versions
from fve_pipeline.store.shard import write_shard

SIZE = 512
SHARD = 85  # of 64 MB of raw pixels

Sample = tuple[NDArray[np.uint8], NDArray[np.uint8]]
Read = Callable[[int], object]


def made_slices(n: int) -> Iterator[Sample]:
    """CT-like: flat air, smooth organs, fine noise inside the body; PNG compresses it about 6:1."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:512j, -1:1:512j]
    radius = np.hypot(x / 0.75, y / 0.55)
    noise = [rng.normal(0, 2.6, (SIZE, SIZE)) for _ in range(16)]
    organs = cv2.GaussianBlur(rng.normal(0, 1, (SIZE, SIZE)), (0, 0), 24)
    organs /= organs.std()
    for i in range(n):
        body = radius < 0.9 + 0.08 * np.sin(i / 9)
        tissue = 120 + 40 * np.sign(np.roll(organs, (i, 2 * i), (0, 1))) + noise[i % 16]
        focal = np.where(body, np.clip(tissue, 0, 255), 0).astype(np.uint8)
        image = np.stack([focal, np.roll(focal, 1, 0), np.roll(focal, 1, 1)], axis=-1)
        yield image, (body & (np.roll(organs, (i, 2 * i), (0, 1)) > 0.8)).astype(np.uint8)


def build(folder: Path, n: int, codec: str) -> Store:
    files = LocalFiles(folder)
    settings = StoreSettings.model_validate(
        {"preset": "paper", "codec": codec, "shard_samples": SHARD, "size": SIZE}
    )
    slices = made_slices(n)
    receipts = {}
    for shard in range(-(-n // SHARD)):
        rows = list(islice(slices, SHARD))
        images = (pixel_codec(settings).encode_chunk(image[None]) for image, _ in rows)
        masks = (mask_codec(settings).encode_chunk(mask[None]) for _, mask in rows)
        receipts[shard] = Receipt(
            shard=shard,
            first_row=shard * SHARD,
            n_rows=len(rows),
            plan_hash="0" * 64,
            images=write_shard(files, staged_shard("1", "images", shard, "0"), images, SHARD),
            masks=write_shard(files, staged_shard("1", "masks", shard, "0"), masks, SHARD),
            row_digests=tuple(
                row_digest(("made", "", "axial", i), im[..., 0], m) for i, (im, m) in enumerate(rows)
            ),
            class_ids=((),) * len(rows),
            class_pixels=((),) * len(rows),
        )
    index = INDEX_SCHEMA.empty_table().from_pylist(
        [{"case": "made", "slice": i} for i in range(n)], INDEX_SCHEMA
    )
    content = StoreContent(
        settings=settings,
        versions=Versions(prepare=1, encode=1),
        sources=[],
        failures=[],
        cases=CASES_SCHEMA.empty_table(),
        classes=CLASSES_SCHEMA.empty_table(),
    )
    goal = content.goal({shard: receipt.plan_hash for shard, receipt in receipts.items()})
    commit(files, "1", content, index, receipts, goal)
    return open_store(folder)


def readers(store: Store) -> dict[str, Read]:
    ours = open_store(store.files.url)
    images, masks = store.images, store.masks
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        fast_images, fast_masks = (
            zarr.open_array(store.files.url, path=p, mode="r") for p in ("images", "masks")
        )
    specs = [
        {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{store.files.url}/{member}"}}
        for member in ("images", "masks")
    ]
    ts_images, ts_masks = (tensorstore.open(spec).result() for spec in specs)
    return {
        "zarr-python": lambda i: (images[i], masks[i]),
        "zarrs pipeline": lambda i: (fast_images[i], fast_masks[i]),
        "tensorstore": lambda i: (ts_images[i].read().result(), ts_masks[i].read().result()),
        "ours": ours.sample,
    }


def rate(read: Read, rows: NDArray[np.int64], threads: int) -> float:
    """Samples a second."""
    parts = np.array_split(rows, threads)
    workers = [threading.Thread(target=lambda part=part: [read(int(i)) for i in part]) for part in parts]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(rows) / (time.perf_counter() - start)


def main(n: int, folder: Path) -> None:
    image = next(made_slices(1))[0]
    png = cv2.imencode(".png", image)[1].size
    print(f"{n} samples of {SIZE}²×3 and their masks; PNG compresses the images {image.nbytes / png:.1f}:1")
    order = np.random.default_rng(1).permutation(n)
    for codec in ("lz4", "zstd"):
        store = build(folder / f"{codec}.zarr", n, codec)
        raw = n * image.nbytes / sum(entry.images.size for entry in store.manifest.shards)
        print(f"\n{codec} ({raw:.1f}:1)      one thread     two threads   samples/s")
        reads = readers(store)
        expected = store.sample(0)
        for name, read in reads.items():
            assert all(np.array_equal(a, b) for a, b in zip(read(0), expected, strict=True)), name  # type: ignore[call-overload]
        best = {(name, threads): 0.0 for name in reads for threads in (1, 2)}
        for _ in range(3):
            for name, threads in best:
                rows = order if name != "zarr-python" else order[:300]
                best[name, threads] = max(best[name, threads], rate(reads[name], rows, threads))
        for name in reads:
            cells = [f"{best[name, t]:8.0f} {best[name, t] / best['zarr-python', t]:5.1f}×" for t in (1, 2)]
            print(f"{name:16} {cells[0]} {cells[1]}")


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    if len(sys.argv) > 2:
        main(count, Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(count, Path(temporary))
