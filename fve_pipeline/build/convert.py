"""A lazy store encoded, without the sources: the same rows, masks and content id in another form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fve_pipeline.build.encode.shard import ENCODE_VERSION
from fve_pipeline.errors import BuildError
from fve_pipeline.files.base import Files
from fve_pipeline.files.locks import BuildLock
from fve_pipeline.files.open import open_files
from fve_pipeline.imaging.encoding import context_depth, encode
from fve_pipeline.runtime.executor import Executor, Task
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.store.commit import commit, next_generation, recover
from fve_pipeline.store.content import row_digest
from fve_pipeline.store.documents import mask_codec, pixel_codec
from fve_pipeline.store.layout import MANIFEST
from fve_pipeline.store.reader import Store
from fve_pipeline.store.receipt import read_receipts
from fve_pipeline.store.runs import RunPart, Runs
from fve_pipeline.store.schema import Manifest, StoreSettings, Versions
from fve_pipeline.store.stage import ShardStage

__all__ = ["ConvertJob", "convert_shard", "convert_store"]


@dataclass(frozen=True, slots=True)
class ConvertJob:
    """One shard to write into ``store`` from the lazy store ``source``."""

    store: Files
    source: Store
    settings: StoreSettings
    generation: str
    shard: int
    plan_hash: str
    parts: tuple[RunPart, ...]


def convert_store(
    source: Store, out: str, settings: StoreSettings, executor: Executor, progress: Progress
) -> Manifest:
    """Encode the slices of a lazy store into ``out`` with ``settings``; return the new store's manifest.

    What comes out equals a build with those settings, byte for byte but for the failures' record. An
    interrupted conversion goes on where it was. Raises BuildError when the source is encoded already, when
    ``settings`` ask for other slices than it holds, or when ``out`` is a store.
    """
    _check(source, settings)
    files = open_files(out)
    with BuildLock(files) as lock:
        recover(files)
        if files.exists(MANIFEST):
            msg = f"{out} is a store already; encode to another place"
            raise BuildError(msg)
        generation = str(next_generation(files))
        jobs = list(_jobs(files, source, settings, generation))
        hashes = {job.shard: job.plan_hash for job in jobs}
        done = read_receipts(files, generation, hashes)
        progress.stage("encode", len(source), "slices")
        progress.advance(sum(receipt.n_rows for receipt in done.values()))
        side = settings.size
        tasks = (
            Task(
                f"encode shard {job.shard}",
                (job,),
                (settings.shard_samples + 2 * context_depth(settings.order)) * 9 * side * side + (64 << 20),
            )
            for job in jobs
            if job.shard not in done
        )
        for task, _ in executor.run(convert_shard, tasks):
            progress.advance(sum(len(part.rows) for part in task.args[0].parts))
        lock.check()
        manifest = source.manifest
        return commit(
            files,
            generation,
            settings=settings,
            versions=Versions(prepare=manifest.versions.prepare, encode=ENCODE_VERSION),
            sources=manifest.sources,
            failures=manifest.failures,
            receipts=read_receipts(files, generation, hashes),
            index=source.index,
            cases=source.cases,
            classes=source.classes,
            previous=None,
        )


def _check(source: Store, settings: StoreSettings) -> None:
    if source.settings.storage != "slices":
        msg = (
            f"{source.files.url} is encoded already: its other slices are not all there in full. Encode from a store "
            "built with --storage slices, or from the prepared cases with --work"
        )
        raise BuildError(msg)
    free = {"storage", "order", "boundary", "downsample", "codec", "shard_samples", "preset"}
    theirs, ours = source.settings.model_dump(), settings.model_dump()
    other = [name for name in ours if name not in free and ours[name] != theirs[name]]
    if other:
        msg = "; ".join(f"{name} is {theirs[name]!r}, asked for {ours[name]!r}" for name in other)
        raise BuildError(f"{source.files.url} holds slices made with other settings: {msg}")


def _jobs(files: Files, source: Store, settings: StoreSettings, generation: str) -> Iterator[ConvertJob]:
    runs = Runs.of(source.index)
    step = settings.shard_samples
    for shard, start in enumerate(range(0, len(source), step)):
        stop = min(len(source), start + step)
        parts = tuple(runs.parts(range(start, stop)))
        described = [ENCODE_VERSION, settings.model_dump(), source.manifest.content_id, start, stop]
        plan_hash = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        yield ConvertJob(files, source, settings, generation, shard, plan_hash, parts)


def convert_shard(job: ConvertJob) -> None:
    """Read the shard's slices with their context, encode them, and leave the receipt."""
    settings, source = job.settings, job.source
    image_codec, masks_codec = pixel_codec(settings), mask_codec(settings)
    context = context_depth(settings.order)
    stage = ShardStage(job.store, job.generation, job.shard, job.plan_hash, settings)
    first, last = job.parts[0].rows.start, job.parts[-1].rows.stop
    names = ("case", "rendition", "view", "slice", "class_ids", "class_pixels")
    rows = source.index.slice(first, last - first).select(names).to_pylist()
    for part in job.parts:
        low = max(part.run.start, part.rows.start - context)
        high = min(part.run.stop, part.rows.stop + context)
        slices = source.read_slices(low, high)
        labels = source.read_masks(part.rows.start, part.rows.stop)
        focal = np.arange(part.rows.start - low, part.rows.stop - low)
        encoded = encode(slices, settings.order, settings.boundary, settings.downsample, focal=focal)
        for place, image, mask in zip(part.rows, encoded, labels, strict=True):
            row = rows[place - first]
            identity = (row["case"], row["rendition"], row["view"], row["slice"])
            stage.add(
                image_codec.encode_chunk(image[None]),
                masks_codec.encode_chunk(mask[None]),
                row_digest(identity, slices[place - low], mask),
                row["class_ids"],
                row["class_pixels"],
            )
    stage.write()
