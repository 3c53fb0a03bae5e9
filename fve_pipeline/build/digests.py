"""The digests of a store's rows, of which its content id is made: kept beside the prepared cases, or made again.

Their chain ends in the content id, so a file of them is believed when it does, whoever left it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fve_pipeline.files.atomic import make_folder, sweep_partials, write_whole
from fve_pipeline.runtime.executor import Task
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.content import EMPTY_CONTENT, chain, packed, row_digest, unpacked
from fve_pipeline.store.reader import Store
from fve_pipeline.store.receipt import Receipt
from fve_pipeline.store.schema import ShardEntry

__all__ = ["forget_digests", "keep_digests", "keep_grown", "kept_digests", "row_digests"]

_FOLDER = "digests"


def keep_digests(work: Path, digests: bytes, base: Store | None) -> None:
    """Leave the digests of a store's rows to be in ``work``, 32 bytes each, beside those of what it is now alone.

    To be called before the commit: nothing is left to do after it.
    """
    folder = work / _FOLDER
    make_folder(folder)
    sweep_partials(folder)
    content_id = chain(EMPTY_CONTENT, unpacked(digests))
    kept = {content_id, base.manifest.content_id if base else content_id}
    for other in folder.iterdir():
        if other.name not in kept:
            other.unlink(missing_ok=True)
    with write_whole(folder / content_id) as file:
        file.write(digests)


def keep_grown(work: Path, base: Store | None, receipts: Sequence[Receipt]) -> None:
    """Leave the digests of a store that is built, or grows by what ``receipts`` tell."""
    before = b"" if base is None else kept_digests(work, base)
    if before is not None:
        keep_digests(work, before + b"".join(packed(receipt.row_digests) for receipt in receipts), base)


def forget_digests(work: Path, content_id: str) -> None:
    """Remove all digests but those of this content."""
    for other in (work / _FOLDER).glob("*"):
        if other.name != content_id:
            other.unlink(missing_ok=True)


def kept_digests(work: Path, store: Store) -> bytes | None:
    """Return the digests of the store's rows as they were left in ``work``; None when they were not, or are damaged."""
    try:
        found = (work / _FOLDER / store.manifest.content_id).read_bytes()
    except FileNotFoundError:
        return None
    return found if chain(EMPTY_CONTENT, unpacked(found)) == store.manifest.content_id else None


def row_digests(work: Path, store: Store, resources: Resources) -> bytes:
    """Return the digests of all rows, which are made by reading the store once where ``work`` has them not."""
    found = kept_digests(work, store)
    if found is not None:
        return found
    resources.progress.stage("read rows", len(store), "slices")
    nbytes = 2 * store.settings.shard_samples * store.settings.pixel_bytes + (64 << 20)
    tasks = (
        Task(f"read shard {entry.shard}", (ShardRows(store, entry),), nbytes)
        for entry in store.manifest.shards
    )
    parts = {}
    for task, part in resources.executor.run(digest_rows, tasks):
        parts[task.args[0].entry.shard] = part
        resources.progress.advance(len(part) // 32)
    return b"".join(parts[entry.shard] for entry in store.manifest.shards)


@dataclass(frozen=True, slots=True)
class ShardRows:
    """The rows of one shard of a store."""

    store: Store
    entry: ShardEntry


def digest_rows(rows: ShardRows) -> bytes:
    """Return the digests of a shard's rows, 32 bytes each."""
    store, entry = rows.store, rows.entry
    first = entry.shard * store.settings.shard_samples
    names = ["case", "rendition", "view", "slice"]
    found = []
    for number, row in enumerate(store.index.select(names).slice(first, entry.n_rows).to_pylist(), first):
        focal, mask = store.read_slices(number, number + 1)[0], store.read_masks(number, number + 1)[0]
        found.append(row_digest([row[name] for name in names], focal, mask))
    return packed(found)
