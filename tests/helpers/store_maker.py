"""Small stores made from nothing but a list of cases, the way a build makes them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pyarrow as pa

from fve_pipeline.build.encode.shard import ENCODE_VERSION
from fve_pipeline.files.base import Files
from fve_pipeline.store.commit import Rewrite, StoreContent, commit, next_generation
from fve_pipeline.store.content import packed, row_digest
from fve_pipeline.store.documents import mask_codec, pixel_codec
from fve_pipeline.store.layout import MASKS, shard_key, staged_shard
from fve_pipeline.store.pending import settle
from fve_pipeline.store.receipt import Receipt, read_receipts, write_receipt
from fve_pipeline.store.schema import (
    CASES_SCHEMA,
    CLASSES_SCHEMA,
    INDEX_SCHEMA,
    Manifest,
    SourceEntry,
    StoreSettings,
    Versions,
)
from fve_pipeline.store.shard import ShardFile, copy_chunks, write_shard

Row = tuple[str, int]  # case, slice

CLASSES = {1: (1,), 2: (2,), 3: (1, 2)}


def settings(**changes: Any) -> StoreSettings:
    return StoreSettings.model_validate({"preset": "paper", "size": 16, "shard_samples": 4, **changes})


def plan(cases: dict[str, int]) -> list[Row]:
    """Rows of a store with these cases and so many slices each."""
    return [(case, z) for case, n in cases.items() for z in range(n)]


def pixels(row: Row, size: int) -> np.ndarray:
    """(S, S, 3) uint8 that depends on the row alone."""
    case, z = row
    base = np.add.outer(np.arange(size), np.arange(size)) + 7 * len(case) + sum(case.encode())
    return np.stack([base + z, base + max(0, z - 1), base + z + 1], axis=-1).astype(np.uint8)


def mask_of(row: Row, size: int, dtype: str) -> np.ndarray:
    mask = np.zeros((size, size), dtype)
    if row[1] % 3:  # every third mask is empty
        mask[2 : 4 + row[1], 3:9] = 1
        mask[10:12, : 1 + row[1]] = 2
    return mask


def counts(mask: np.ndarray) -> dict[int, int]:
    return {c: n for c, ids in CLASSES.items() if (n := int(np.isin(mask, ids).sum()))}


def build_shard(
    files: Files, generation: str, rows: list[Row], shard: int, s: StoreSettings, previous: Manifest | None
) -> Receipt:
    """Stage one shard and leave its receipt, as one task of a build does."""
    m = s.shard_samples
    mine = rows[shard * m : (shard + 1) * m]
    committed = previous.n_samples if previous else 0
    copied = max(0, min(m, committed - shard * m))
    new = mine[copied:]
    plan_hash = plan_hash_of(mine, s)
    images = [pixels(row, s.size) for row in new]
    masks = [mask_of(row, s.size, s.mask_dtype) for row in new]
    stored = images if s.storage == "encoded" else [np.ascontiguousarray(image[..., 0]) for image in images]
    totals = []
    for member, codec, arrays in ((s.member, pixel_codec(s), stored), (MASKS, mask_codec(s), masks)):
        chunks: list[Any] = []
        if copied:
            chunks += copy_chunks(ShardFile(files, shard_key(member, shard), m), copied)
        chunks += [codec.encode_chunk(array[None]) for array in arrays]
        totals.append(write_shard(files, staged_shard(generation, member, shard, plan_hash), chunks, m))
    found = [counts(mask) for mask in masks]
    receipt = Receipt(
        shard=shard,
        first_row=shard * m,
        n_rows=len(mine),
        copied=copied,
        plan_hash=plan_hash,
        images=totals[0],
        masks=totals[1],
        row_digests=tuple(
            row_digest((f"made/{row[0]}", "r", "axial", row[1]), image[..., 0], mask)
            for row, image, mask in zip(new, images, masks, strict=True)
        ),
        class_ids=tuple(tuple(f) for f in found),
        class_pixels=tuple(tuple(f.values()) for f in found),
    )
    write_receipt(files, generation, receipt)
    return receipt


def plan_hash_of(rows: list[Row], s: StoreSettings) -> str:
    return hashlib.sha256(json.dumps([rows, s.model_dump()]).encode()).hexdigest()


def index_table(rows: list[Row], s: StoreSettings) -> pa.Table:
    records = []
    for case, z in rows:
        found = counts(mask_of((case, z), s.size, s.mask_dtype))
        records.append(
            {
                **dict.fromkeys(("dataset", "modality", "rendition", "split"), "made"),
                "rendition": "r",
                "case": f"made/{case}",
                "subject": case,
                "view": "axial",
                "source": f"{case}.nii.gz",
                "source_sha256": "0" * 64,
                "slice": z,
                "z_mm": 2.5 * z,
                "spacing": [2.5, 1.0, 1.0],
                "shape": [16, 14],
                "class_ids": list(found),
                "class_pixels": list(found.values()),
            }
        )
    return pa.Table.from_pylist(records, INDEX_SCHEMA)


def cases_table(rows: list[Row]) -> pa.Table:
    names = list(dict.fromkeys(case for case, _ in rows))
    where = {
        "shape": [16, 16, 14],
        "spacing": [2.5, 1.0, 1.0],
    }  # null in no built store; pyarrow reads such nulls from 26
    records = [
        {"case": f"made/{name}", "dataset": "made", "subject": name, "n_samples": 1, **where}
        for name in names
    ]
    return pa.Table.from_pylist(records, CASES_SCHEMA)


def classes_table() -> pa.Table:
    shared = {"dataset": "made", "instance": False, "side": "", "prompts": ["made"], "renditions": []}
    records = [
        {**shared, "class_id": c, "name": f"class {c}", "ids": list(ids), "label_ids": list(ids)}
        for c, ids in CLASSES.items()
    ]
    return pa.Table.from_pylist(records, CLASSES_SCHEMA)


def stage(
    files: Files, rows: list[Row], s: StoreSettings, previous: Manifest | None = None
) -> dict[int, Receipt]:
    """Stage what has no receipt yet; the receipts of all shards that are new or grow."""
    generation = str(next_generation(files))
    m = s.shard_samples
    first = (previous.n_samples if previous else 0) // m
    wanted = {n: plan_hash_of(rows[n * m : (n + 1) * m], s) for n in range(first, -(-len(rows) // m))}
    receipts = read_receipts(files, generation, wanted)
    for shard in wanted:
        if shard not in receipts:
            receipts[shard] = build_shard(files, generation, rows, shard, s, previous)
    return receipts


def publish(
    files: Files,
    rows: list[Row],
    s: StoreSettings,
    receipts: dict[int, Receipt],
    previous: Manifest | None = None,
    index: pa.Table | None = None,
    rewrite: Rewrite | None = None,
) -> Manifest:
    content = StoreContent(
        settings=s,
        versions=Versions(prepare=1, encode=ENCODE_VERSION),
        sources=[
            SourceEntry(dataset="made", licence="CC0-1.0", citation="", url="", catalog_sha256="0" * 64)
        ],
        failures=[],
        cases=cases_table(rows),
        classes=classes_table(),
        previous=previous,
        rewrite=rewrite,
    )
    goal = content.goal({shard: receipt.plan_hash for shard, receipt in receipts.items()})
    table = index or index_table(rows, s)
    manifest = commit(files, str(next_generation(files)), content, table, receipts, goal)
    settle(files)
    return manifest


def build(files: Files, rows: list[Row], s: StoreSettings, previous: Manifest | None = None) -> Manifest:
    """Stage and commit ``rows``, all of the store's: those of ``previous`` first."""
    return publish(files, rows, s, stage(files, rows, s, previous), previous)


def rewrite(files: Files, rows: list[Row], s: StoreSettings, previous: Manifest, stay: set[int]) -> Manifest:
    """Stage and commit ``rows`` in place of those of ``previous``, whose shards ``stay`` hold the same ones."""
    generation, m = str(next_generation(files)), s.shard_samples
    numbers = [n for n in range(-(-len(rows) // m)) if n not in stay]
    receipts = {n: build_shard(files, generation, rows, n, s, None) for n in numbers}
    digests = {n: packed(digest_of(row, s) for row in rows[n * m : (n + 1) * m]) for n in stay}
    shards = {n: previous.shards[n] for n in stay}
    change = Rewrite(shards, digests, "update", {"vanished": ["made/b"]}, 0, previous.history)
    return publish(files, rows, s, receipts, previous, rewrite=change)


def digest_of(row: Row, s: StoreSettings) -> str:
    mask = mask_of(row, s.size, s.mask_dtype)
    return row_digest((f"made/{row[0]}", "r", "axial", row[1]), pixels(row, s.size)[..., 0], mask)
