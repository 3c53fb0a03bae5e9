"""A store of some cases of other stores: compressed chunks are copied, nothing is encoded again."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fve_pipeline.build.encode.numbering import merge_numberings
from fve_pipeline.build.transaction import ShardWork, transaction
from fve_pipeline.errors import BuildError, StoreFormatError
from fve_pipeline.files.base import ReadableFiles
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.codec import ChunkCodec
from fve_pipeline.store.commit import StoreContent
from fve_pipeline.store.content import row_digest
from fve_pipeline.store.documents import mask_codec, pixel_codec
from fve_pipeline.store.findings import Identity, identity
from fve_pipeline.store.layout import MASKS, Member, shard_key
from fve_pipeline.store.opened import OpenShards
from fve_pipeline.store.query import rows_of_cases
from fve_pipeline.store.reader import Store
from fve_pipeline.store.schema import Manifest, SourceEntry, StoreSettings
from fve_pipeline.store.stage import ShardStage, ShardTarget

__all__ = ["CopyJob", "CopyRow", "copy_cases", "copy_row", "copy_shard"]


@dataclass(frozen=True, slots=True)
class CopyRow:
    """One row to copy: ``row`` of source ``source``, and what the receipt needs to know of it."""

    source: int
    row: int
    identity: Identity
    class_ids: tuple[int, ...]
    class_pixels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CopyJob:
    """One shard to write to ``target``. ``sources``: files and rows a shard of the stores copied from."""

    target: ShardTarget
    sources: tuple[tuple[ReadableFiles, int], ...]
    rows: tuple[CopyRow, ...]


def copy_cases(stores: Sequence[Store], cases: Sequence[str], out: str, resources: Resources) -> Manifest:
    """Write a new store ``out`` of the rows of ``cases``, in the stores' order; return its manifest.

    Chunks are decoded to check them and to compute the content id, and copied as they are. The store equals
    what a build of these cases with the stores' settings gives. An interrupted copy goes on where it was.

    Raises BuildError when the stores' settings differ, as do classes or mask values of a data set that several of them
    hold, when a case is in none of them or in two, or ``out`` is a store.
    """
    settings = _common_settings(stores)
    rows, index = _rows(stores, cases)
    content, work = _content(stores, cases, settings), _work(stores, settings, rows)
    with transaction(out, resources) as store:
        return store.publish(content, work, lambda _: index)


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
            who = identity(case, rendition, view, place, store.finding_digests.get(case))
            rows.append(CopyRow(source, row, who, tuple(ids), tuple(pixels)))
    held = Counter(case for store in stores for case in store.cases.column("case").to_pylist())
    if twice := sorted(case for case in set(cases) if held[case] > 1):
        msg = f"{len(twice)} of {len(cases)} cases are in several of the stores, such as {twice[0]!r}: name one of these"
        raise BuildError(msg)
    missing = set(cases) - {row.identity[0] for row in rows}
    if missing or not rows:
        msg = f"{len(missing)} of {len(cases)} cases are in none of the stores, such as {min(missing)!r}"
        raise BuildError(msg)
    return rows, pa.concat_tables(parts).unify_dictionaries()


def _work(stores: Sequence[Store], settings: StoreSettings, rows: Sequence[CopyRow]) -> ShardWork:
    sources = tuple((store.shard_files, store.settings.shard_samples) for store in stores)
    contents = [store.manifest.content_id for store in stores]
    step = settings.shard_samples

    def mine(shard: int) -> tuple[CopyRow, ...]:
        return tuple(rows[shard * step : (shard + 1) * step])

    def plan_hash(shard: int) -> str:
        described = [settings.model_dump(), contents, [(row.source, row.row) for row in mine(shard)]]
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()

    def job(target: ShardTarget) -> tuple[CopyJob, int]:
        # Compressed chunks of a shard, at most as large as raw ones, and one decoded row.
        made = CopyJob(target, sources, mine(target.shard))
        return made, 5 * len(made.rows) * settings.size**2 + (64 << 20)

    hashes = {shard: plan_hash(shard) for shard in range(-(-len(rows) // step))}
    return ShardWork("copy", len(rows), hashes, job, copy_shard)


def copy_shard(job: CopyJob) -> int:
    """Check and copy the chunks of one shard, leave the receipt; return the number of rows."""
    settings = job.target.settings
    shards = [OpenShards(files, capacity) for files, capacity in job.sources]
    stage = ShardStage(job.target)
    for row in job.rows:
        copy_row(stage, shards[row.source], job.sources[row.source][1], settings, row)
    return stage.write()


def copy_row(
    stage: ShardStage, shards: OpenShards, capacity: int, settings: StoreSettings, row: CopyRow
) -> str:
    """Add a row to the stage as it is stored in ``shards`` of ``capacity`` rows; return its digest.

    Raises StoreFormatError when it is missing or damaged.
    """
    image, pixels = _chunk(shards, capacity, settings.member, row.row, pixel_codec(settings))
    mask, labels = _chunk(shards, capacity, MASKS, row.row, mask_codec(settings))
    focal = pixels[..., 0] if settings.storage == "encoded" else pixels
    digest = row_digest(row.identity, focal, labels)
    stage.add(image, mask, digest, row.class_ids, row.class_pixels)
    return digest


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


def _content(stores: Sequence[Store], cases: Sequence[str], settings: StoreSettings) -> StoreContent:
    wanted = pa.array(list(cases), pa.string())
    table = pa.concat_tables([store.cases for store in stores])
    table = table.filter(pc.is_in(table.column("case"), value_set=wanted))
    datasets = set(table.column("dataset").to_pylist())
    described = [(store.files.url, store.class_table, store.findings) for store in stores]
    findings = pa.concat_tables([store.findings for store in stores])
    findings = findings.filter(pc.is_in(findings.column("case"), value_set=wanted))
    return StoreContent(
        settings=settings,
        versions=stores[0].manifest.versions,
        sources=_sources(stores, datasets),
        failures=[],
        cases=table,
        classes=merge_numberings(described, datasets).of_findings(findings).table.to_arrow(),
        findings=findings if len(findings) else None,
    )


def _sources(stores: Sequence[Store], datasets: Collection[str]) -> list[SourceEntry]:
    """The data sets, each once. Raises BuildError where two stores have one by different catalogs."""
    found: dict[str, tuple[SourceEntry, str]] = {}
    for store in stores:
        for one in store.manifest.sources:
            if one.dataset not in datasets:
                continue
            first, where = found.setdefault(one.dataset, (one, store.files.url))
            if first != one:
                msg = (
                    f"{where} and {store.files.url} hold {one.dataset} by different catalogs: bring both up to one with fve "
                    "update, or build one store with fve build --only"
                )
                raise BuildError(msg)
    return [one for one, _ in found.values()]
