"""A store of some cases of other stores: compressed chunks are copied, nothing is encoded again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fve_pipeline.errors import BuildError, StoreFormatError
from fve_pipeline.files.base import Files
from fve_pipeline.files.locks import BuildLock
from fve_pipeline.files.open import open_files
from fve_pipeline.runtime.executor import Executor, Task
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.store.codec import ChunkCodec
from fve_pipeline.store.commit import commit, next_generation, recover
from fve_pipeline.store.content import row_digest
from fve_pipeline.store.documents import mask_codec, pixel_codec
from fve_pipeline.store.layout import MANIFEST, MASKS, Member, shard_key
from fve_pipeline.store.opened import OpenShards
from fve_pipeline.store.query import rows_of_cases
from fve_pipeline.store.reader import Store
from fve_pipeline.store.receipt import Receipt, read_receipts
from fve_pipeline.store.schema import Manifest, StoreSettings
from fve_pipeline.store.stage import ShardStage

__all__ = ["CopyJob", "copy_cases", "copy_shard"]


@dataclass(frozen=True, slots=True)
class CopyRow:
    """One row to copy: ``row`` of source ``source``, and what the receipt needs to know of it."""

    source: int
    row: int
    identity: tuple[str, str, str, int]
    class_ids: tuple[int, ...]
    class_pixels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CopyJob:
    """One shard to write into ``store``. ``sources``: files and rows a shard of the stores copied from."""

    store: Files
    sources: tuple[tuple[Files, int], ...]
    settings: StoreSettings
    generation: str
    shard: int
    plan_hash: str
    rows: tuple[CopyRow, ...]


def copy_cases(
    stores: Sequence[Store], cases: Sequence[str], out: str, executor: Executor, progress: Progress
) -> Manifest:
    """Write a new store ``out`` of the rows of ``cases``, in the stores' order; return its manifest.

    Chunks are decoded to check them and to compute the content id, and copied as they are. The store equals
    what a build of these cases with the stores' settings gives. An interrupted copy goes on where it was.

    Raises BuildError when the stores' settings differ, a case is in none of them, or ``out`` is a store.
    """
    settings = _common_settings(stores)
    rows, index = _rows(stores, cases)
    files = open_files(out)
    with BuildLock(open_files(out)):
        recover(files)
        if files.exists(MANIFEST):
            msg = f"{out} is a store already; copy to another place"
            raise BuildError(msg)
        generation = str(next_generation(files))
        jobs = list(_jobs(files, stores, settings, generation, rows))
        hashes = {job.shard: job.plan_hash for job in jobs}
        done = read_receipts(files, generation, hashes)
        progress.stage("copy", len(rows), "slices")
        progress.advance(sum(receipt.n_rows for receipt in done.values()))
        tasks = (_task(job) for job in jobs if job.shard not in done)
        for task, _ in executor.run(copy_shard, tasks):
            progress.advance(len(task.args[0].rows))
        return _commit(
            files, generation, settings, stores, cases, index, read_receipts(files, generation, hashes)
        )


def _common_settings(stores: Sequence[Store]) -> StoreSettings:
    """The first store's settings. The others may differ in the length of their shards alone."""
    first = stores[0]
    for store in stores[1:]:
        theirs, ours = store.settings.model_dump(), first.settings.model_dump()
        differences = [
            f"{name} is {ours[name]!r} and {theirs[name]!r}"
            for name in ours
            if ours[name] != theirs[name] and name != "shard_samples"
        ]
        if store.manifest.versions != first.manifest.versions:
            differences.append(f"versions are {first.manifest.versions} and {store.manifest.versions}")
        if differences:
            msg = (
                f"chunks of {first.files.url} and {store.files.url} cannot be put into one store: "
                f"{'; '.join(differences)}. Build one with fve build --only instead."
            )
            raise BuildError(msg)
    return first.settings


def _rows(stores: Sequence[Store], cases: Sequence[str]) -> tuple[list[CopyRow], pa.Table]:
    """The rows to copy, and their index."""
    rows: list[CopyRow] = []
    parts = []
    for source, store in enumerate(stores):
        chosen = rows_of_cases(store.index, cases)
        part = store.index.take(pa.array(chosen))
        parts.append(part)
        names = ("case", "rendition", "view", "slice", "class_ids", "class_pixels")
        columns = [part.column(name).to_pylist() for name in names]
        for row, case, rendition, view, place, ids, pixels in zip(chosen.tolist(), *columns, strict=True):
            identity = (case, rendition, view, place)
            rows.append(CopyRow(source, row, identity, tuple(ids), tuple(pixels)))
    missing = set(cases) - {row.identity[0] for row in rows}
    if missing or not rows:
        msg = f"{len(missing)} of {len(cases)} cases are in none of the stores, such as {min(missing)!r}"
        raise BuildError(msg)
    return rows, pa.concat_tables(parts).unify_dictionaries()


def _jobs(
    files: Files, stores: Sequence[Store], settings: StoreSettings, generation: str, rows: Sequence[CopyRow]
) -> Iterator[CopyJob]:
    sources = tuple((store.files, store.settings.shard_samples) for store in stores)
    contents = [store.manifest.content_id for store in stores]
    step = settings.shard_samples
    for shard, start in enumerate(range(0, len(rows), step)):
        mine = tuple(rows[start : start + step])
        described = [settings.model_dump(), contents, [(row.source, row.row) for row in mine]]
        plan_hash = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        yield CopyJob(files, sources, settings, generation, shard, plan_hash, mine)


def _task(job: CopyJob) -> Task:
    # Compressed chunks of a shard, at most as large as raw ones, and one decoded row.
    side = job.settings.size
    return Task(f"copy shard {job.shard}", (job,), 5 * len(job.rows) * side * side + (64 << 20))


def copy_shard(job: CopyJob) -> None:
    """Check and copy the chunks of one shard, and leave the receipt."""
    settings = job.settings
    shards = [OpenShards(files, capacity) for files, capacity in job.sources]
    stage = ShardStage(job.store, job.generation, job.shard, job.plan_hash, settings)
    for row in job.rows:
        capacity = job.sources[row.source][1]
        image, pixels = _chunk(shards[row.source], capacity, settings.member, row.row, pixel_codec(settings))
        mask, labels = _chunk(shards[row.source], capacity, MASKS, row.row, mask_codec(settings))
        focal = pixels[..., 0] if settings.storage == "encoded" else pixels
        digest = row_digest(row.identity, focal, labels)
        stage.add(image, mask, digest, row.class_ids, row.class_pixels)
    stage.write()


def _chunk(
    shards: OpenShards, capacity: int, member: Member, row: int, codec: ChunkCodec
) -> tuple[bytes, np.ndarray[Any, Any]]:
    """One row as it is stored, and decoded. Raises StoreFormatError when it is missing or damaged."""
    number, place = divmod(row, capacity)
    key = shard_key(member, number)
    chunk = shards.chunk(key, place)
    if chunk is None:
        msg = f"{key} does not hold row {row}: the shard is missing or truncated; see fve verify"
        raise StoreFormatError(msg)
    out = np.empty(codec.shape, codec.dtype)
    codec.decode_chunk(chunk, out)
    return bytes(chunk), out[0]


def _commit(
    files: Files,
    generation: str,
    settings: StoreSettings,
    stores: Sequence[Store],
    cases: Sequence[str],
    index: pa.Table,
    receipts: Mapping[int, Receipt],
) -> Manifest:
    wanted = pa.array(list(cases), pa.string())
    table = pa.concat_tables([store.cases for store in stores])
    table = table.filter(pc.is_in(table.column("case"), value_set=wanted))
    datasets = set(table.column("dataset").to_pylist())
    classes = pa.concat_tables([store.classes for store in stores])
    classes = classes.filter(pc.is_in(classes.column("dataset"), value_set=pa.array(sorted(datasets))))
    sources = [source for store in stores for source in store.manifest.sources if source.dataset in datasets]
    return commit(
        files,
        generation,
        settings=settings,
        versions=stores[0].manifest.versions,
        sources=sources,
        failures=[],
        receipts=receipts,
        index=index,
        cases=table,
        classes=classes,
        previous=None,
    )
