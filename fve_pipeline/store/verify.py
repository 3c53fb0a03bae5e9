"""Checking a store against its own records: structure, checksums and, in depth, every pixel."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from fve_pipeline.errors import FveError, StoreFormatError
from fve_pipeline.runtime.threads import prefetch
from fve_pipeline.store.content import EMPTY_CONTENT, chain, row_digest
from fve_pipeline.store.documents import store_documents
from fve_pipeline.store.findings import identity
from fve_pipeline.store.layout import FINDINGS, INDEX, MANIFEST
from fve_pipeline.store.migrations import read_manifest
from fve_pipeline.store.read_table import read_table
from fve_pipeline.store.reader import Store
from fve_pipeline.store.schema import ShardEntry
from fve_pipeline.store.shard import FileSum, ShardFile

__all__ = ["Finding", "require_sound_base", "verify"]

_PIECE = 16 * 2**20
_IDENTITY = ("case", "rendition", "view", "slice")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: the file, what is wrong with it, and the shard when it is one's file."""

    file: str
    problem: str
    shard: int | None = None


def verify(
    store: Store,
    *,
    deep: bool = False,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """Return everything that is wrong with the store; an empty list when nothing is.

    Always: the manifest against its models, the zarr metadata and the tables against the manifest, the size
    and sha256 of every shard, the index of every shard. With ``deep`` also: every chunk's checksum and
    decoding, the class counts of the index against the masks, that findings lie somewhere in their case, and the
    content id. ``progress`` is called with (shards done, shards in all).
    """
    try:
        manifest = read_manifest(store.files)
    except FveError as error:
        return [Finding(MANIFEST, str(error))]
    if manifest != store.manifest:
        return [Finding(MANIFEST, "it changed since the store was opened: open the store again")]
    findings = [*_check_documents(store), *_check_tables(store)]
    index = store.index if deep and not findings else None
    check = partial(_check_shard, store, index)
    entries = store.manifest.shards
    content: str | None = EMPTY_CONTENT
    values: dict[str, set[int]] = {}
    for done, (found, digests, held) in enumerate(prefetch(check, entries, threads), 1):
        findings += found
        for case, own in held.items():
            values.setdefault(case, set()).update(own)
        content = chain(content, digests) if content and digests else None
        if progress:
            progress(done, len(entries))
    if content and content != store.manifest.content_id:
        problem = f"the rows' content id is {content}, not the recorded {store.manifest.content_id}"
        findings.append(Finding(MANIFEST, problem))
    if content:
        findings += _check_masks_of_findings(store, values)
    return findings


def require_sound_base(store: Store) -> None:
    """Check what an append takes over into its own files: the tables, the manifest and a last shard that grows.

    Raises StoreFormatError, naming the file, when it is not what was committed: it would be given a right
    checksum with the damage in it.
    """
    settings, manifest = store.settings, store.manifest
    tail = manifest.shards[-1:] if manifest.n_samples % settings.shard_samples else ()
    files = [total for entry in tail for total in (entry.images, entry.masks)]
    files += [entry.file for entry in manifest.tables.values()]
    found = [Finding(total.key, problem) for total in files if (problem := _check_sum(store, total))]
    if wrong := [*_check_documents(store), *found]:
        msg = (
            f"{store.files.url}/{wrong[0].file}: {wrong[0].problem}. Nothing was appended: mend the store with "
            f"fve encode --repair {store.files.url}, or build anew with --overwrite"
        )
        raise StoreFormatError(msg)


def _check_documents(store: Store) -> Iterator[Finding]:
    for key, expected in store_documents(store.manifest).items():
        try:
            same = store.committed.read(key) == expected
        except FileNotFoundError:
            yield Finding(key, "missing")
            continue
        if not same:
            # The root's document holds the manifest's sha256, so this may be the manifest's fault.
            yield Finding(key, f"it is not what {MANIFEST} implies: one of the two was changed or damaged")


def _check_tables(store: Store) -> Iterator[Finding]:
    for name, entry in store.manifest.tables.items():
        problem = _check_sum(store, entry.file)
        if problem is None:
            try:
                table = read_table(store.files, store.manifest, name)
                problem = _wrong_findings(store, table) if name == "findings" else None
            except FveError as error:
                problem = str(error)
        if problem:
            yield Finding(entry.file.key, problem)


def _wrong_findings(store: Store, findings: pa.Table) -> str | None:
    strange = set(findings.column("case").to_pylist()) - set(store.cases.column("case").to_pylist())
    return f"it has findings of {min(strange)}, which is no case of the store" if strange else None


def _check_sum(store: Store, expected: FileSum) -> str | None:
    """Return what is wrong with a file's size or sha256, or None."""
    try:
        size = store.committed.size(expected.key)
    except FileNotFoundError:
        return "missing"
    if size != expected.size:
        return f"it has {size} bytes, not {expected.size}"
    digest = hashlib.sha256()
    for start in range(0, size, _PIECE):
        digest.update(store.committed.read_range(expected.key, start, min(_PIECE, size - start)))
    if digest.hexdigest() != expected.sha256:
        return f"its sha256 is {digest.hexdigest()}, not {expected.sha256}: the file was changed or damaged"
    return None


def _check_masks_of_findings(store: Store, values: Mapping[str, set[int]]) -> Iterator[Finding]:
    """Look for the mask values of each finding; ``values`` are all that the rows of cases hold that were not shrunk."""
    if not len(store.findings):
        return
    for row in store.findings.select(["case", "finding", "mask_ids", "voxels"]).to_pylist():
        held = values.get(row["case"])
        if held is not None and row["voxels"] and held.isdisjoint(row["mask_ids"]):
            problem = f"finding {row['finding']} of {row['case']} has {row['voxels']} voxels, and its mask values no pixel"
            yield Finding(FINDINGS, problem)


def _check_shard(
    store: Store, index: pa.Table | None, entry: ShardEntry
) -> tuple[list[Finding], list[str], dict[str, set[int]]]:
    """Return the findings in one shard, and its rows' digests when ``index`` is given and it is whole.

    Then also the mask values of each case that has findings and was not shrunk, which may lose some.
    """
    findings = []
    for total in (entry.images, entry.masks):
        problem = _check_sum(store, total) or _check_index(store, total.key, entry.n_rows)
        if problem:
            findings.append(Finding(total.key, problem, entry.shard))
    if index is None:
        return findings, [], {}
    values: dict[str, set[int]] = {}
    first = entry.shard * store.settings.shard_samples
    digests: list[str] = []
    for row in index.slice(first, entry.n_rows).to_pylist():
        number = first + len(digests)
        try:
            focal, mask = store.read_slices(number, number + 1)[0], store.read_masks(number, number + 1)[0]
        except FveError as error:
            findings.append(Finding(entry.images.key, " ".join([str(error), *_notes(error)]), entry.shard))
            return findings, [], {}
        said = store.finding_digests.get(row["case"])
        who = identity(row["case"], row["rendition"], row["view"], row["slice"], said)
        digests.append(row_digest(who, focal, mask))
        counts = np.bincount(mask.reshape(-1), minlength=np.iinfo(mask.dtype).max + 1)
        if said is not None and max(row["shape"]) <= store.settings.size:
            values.setdefault(row["case"], set()).update(np.flatnonzero(counts).tolist())
        counted = store.class_table.of_masks(row["dataset"], row["rendition"]).present(counts)
        recorded = dict(zip(row["class_ids"], row["class_pixels"], strict=True))
        if counted != recorded:
            problem = f"row {number}: the index has class pixels {recorded}, the mask {counted}"
            findings.append(Finding(INDEX, problem, entry.shard))
    return findings, digests, values


def _check_index(store: Store, key: str, n_rows: int) -> str | None:
    try:
        n_chunks = ShardFile(store.committed, key, store.settings.shard_samples).n_chunks
    except FveError as error:
        return str(error)
    return None if n_chunks == n_rows else f"it holds {n_chunks} chunks, not {n_rows}"


def _notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", ()))
