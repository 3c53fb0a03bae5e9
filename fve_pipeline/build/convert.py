"""A lazy store encoded, without the sources: the same rows, masks and content id in another form."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from fve_pipeline.build.encode.shard import ENCODE_VERSION
from fve_pipeline.build.transaction import ShardWork, transaction
from fve_pipeline.errors import BuildError
from fve_pipeline.imaging.encoding import context_depth, encode
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.commit import StoreContent
from fve_pipeline.store.content import row_digest
from fve_pipeline.store.documents import mask_codec, pixel_codec
from fve_pipeline.store.findings import identity
from fve_pipeline.store.reader import Store
from fve_pipeline.store.runs import RunPart, Runs
from fve_pipeline.store.schema import Manifest, StoreSettings, Versions
from fve_pipeline.store.stage import ShardStage, ShardTarget

__all__ = ["ConvertJob", "convert_shard", "convert_store"]


@dataclass(frozen=True, slots=True)
class ConvertJob:
    """One shard to write to ``target`` from the lazy store ``source``."""

    target: ShardTarget
    source: Store
    parts: tuple[RunPart, ...]


def convert_store(source: Store, out: str, settings: StoreSettings, resources: Resources) -> Manifest:
    """Encode the slices of a lazy store into ``out`` with ``settings``; return the new store's manifest.

    What comes out equals a build with those settings, byte for byte but for the failures' record. An
    interrupted conversion goes on where it was. Raises BuildError when the source is encoded already, when
    ``settings`` ask for other slices than it holds, or when ``out`` is a store.
    """
    _check(source, settings)
    manifest = source.manifest
    content = StoreContent(
        settings=settings,
        versions=Versions(prepare=manifest.versions.prepare, encode=ENCODE_VERSION),
        sources=manifest.sources,
        failures=manifest.failures,
        cases=source.cases,
        classes=source.classes,
        findings=source.findings if len(source.findings) else None,
    )
    with transaction(out, resources) as store:
        return store.publish(content, _work(source, settings), lambda _: source.index)


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


def _work(source: Store, settings: StoreSettings) -> ShardWork:
    runs = Runs.of(source.index)
    step, side = settings.shard_samples, settings.size
    bounds = [range(start, min(len(source), start + step)) for start in range(0, len(source), step)]

    def plan_hash(rows: range) -> str:
        content = source.manifest.content_id
        described = [ENCODE_VERSION, settings.model_dump(), content, rows.start, rows.stop]
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()

    def job(target: ShardTarget) -> tuple[ConvertJob, int]:
        nbytes = (step + 2 * context_depth(settings.order)) * 9 * side * side + (64 << 20)
        return ConvertJob(target, source, tuple(runs.parts(bounds[target.shard]))), nbytes

    hashes = {shard: plan_hash(rows) for shard, rows in enumerate(bounds)}
    return ShardWork("encode", len(source), hashes, job, convert_shard)


def convert_shard(job: ConvertJob) -> int:
    """Read the shard's slices with their context, encode them, leave the receipt; return the number of rows."""
    settings, source = job.target.settings, job.source
    image_codec, masks_codec = pixel_codec(settings), mask_codec(settings)
    context = context_depth(settings.order)
    stage = ShardStage(job.target)
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
            said = source.finding_digests.get(row["case"])
            who = identity(row["case"], row["rendition"], row["view"], row["slice"], said)
            stage.add(
                image_codec.encode_chunk(image[None]),
                masks_codec.encode_chunk(mask[None]),
                row_digest(who, slices[place - low], mask),
                row["class_ids"],
                row["class_pixels"],
            )
    return stage.write()
