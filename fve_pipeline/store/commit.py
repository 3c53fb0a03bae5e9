"""The one commit of a build: everything staged becomes the store, or nothing does.

All that is needed to finish is on disk before anything is touched: the staged files, and a journal of what goes
where (:mod:`fve_pipeline.store.pending`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from fve_pipeline.errors import StoreError, StoreFormatError
from fve_pipeline.files.base import Files
from fve_pipeline.store.content import EMPTY_CONTENT, chain, unpacked
from fve_pipeline.store.documents import store_documents
from fve_pipeline.store.generations import kept_generations
from fve_pipeline.store.layout import (
    CASES,
    CLASSES,
    FINDINGS,
    GENERATIONS,
    INDEX,
    JOURNAL,
    MANIFEST,
    STAGING,
    staged_table,
)
from fve_pipeline.store.pending import PendingCommit, finish
from fve_pipeline.store.receipt import Receipt
from fve_pipeline.store.replaced import obsolete, replaced, tree_of
from fve_pipeline.store.schema import (
    ChangeEntry,
    FailureEntry,
    Manifest,
    ShardEntry,
    SourceEntry,
    StoreSettings,
    TableEntry,
    Versions,
)
from fve_pipeline.store.shard import write_file
from fve_pipeline.store.tables import CASES_SCHEMA, CLASSES_SCHEMA, FINDINGS_SCHEMA, INDEX_SCHEMA, table_bytes

__all__ = ["Rewrite", "StoreContent", "commit", "next_generation", "restore_shards"]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A commit that changes rows of the store it follows: ``shards`` are those that stay, by number.

    ``digests`` are 32 bytes a row of each of these. ``kind``, ``cases`` by reason and ``withdrawn`` are what the
    history says of the change; ``history`` is what it said before.
    """

    shards: Mapping[int, ShardEntry]
    digests: Mapping[int, bytes]
    kind: Literal["update", "withdraw"]
    cases: Mapping[str, Sequence[str]]
    withdrawn: int
    history: Sequence[ChangeEntry]


@dataclass(frozen=True, slots=True)
class StoreContent:
    """All that a commit publishes but what its shards tell.

    ``cases``, ``classes`` and ``findings``, if there are any, are whole tables, committed rows first. ``previous`` is
    the manifest of the store that grows, or whose rows ``rewrite`` changes; with None the store is new, or replaces the
    one that is there.
    """

    settings: StoreSettings
    versions: Versions
    sources: Sequence[SourceEntry]
    failures: Sequence[FailureEntry]
    cases: pa.Table
    classes: pa.Table
    findings: pa.Table | None = None
    previous: Manifest | None = None
    rewrite: Rewrite | None = None

    def goal(self, plan_hashes: Mapping[int, str]) -> str:
        """Return a name of the store that shards of these plans and this content make."""
        documents = [self.settings, self.versions, *self.sources, *self.failures]
        described = [
            [document.model_dump() for document in documents],
            sorted(plan_hashes.items()),
            self.previous.content_id if self.previous else EMPTY_CONTENT,
        ]
        digest = hashlib.sha256(json.dumps(described).encode())
        digest.update(table_bytes(self.cases, CASES_SCHEMA))
        digest.update(table_bytes(self.classes, CLASSES_SCHEMA))
        if self.findings is not None:
            digest.update(table_bytes(self.findings, FINDINGS_SCHEMA))
        return digest.hexdigest()


def next_generation(files: Files) -> int:
    """Return the number of the next commit: one more than the store's, 1 when there is none."""
    try:
        return int(json.loads(files.read(MANIFEST))["generation"]) + 1
    except FileNotFoundError:
        return 1
    except (ValueError, KeyError, TypeError):
        # Whatever lies there is about to be overwritten.
        return 1


def commit(
    files: Files,
    generation: str,
    content: StoreContent,
    index: pa.Table,
    receipts: Mapping[int, Receipt],
    goal: str,
) -> Manifest:
    """Publish what the receipts of ``generation`` staged; to be called by the lock's holder.

    When the store grows, ``receipts`` hold the shards that are new or grow, and ``index`` the committed rows
    followed by the new ones. When rows are rewritten, they hold all shards that do not stay. Then, and when older
    generations are kept already, what is replaced is kept. Returns the new manifest. Raises StoreError when receipts
    and index do not cover the same rows, or a staged file is not there.
    """
    settings, previous = content.settings, content.previous
    if content.rewrite is not None:
        shards, content_id = _rewritten(content.rewrite, receipts, settings, index.num_rows)
    else:
        old = previous.shards if previous else ()
        content_id = previous.content_id if previous else EMPTY_CONTENT
        committed = previous.n_samples if previous else 0
        shards = _merge(old, receipts, committed, settings, index.num_rows)
        for _, receipt in sorted(receipts.items()):
            content_id = chain(content_id, receipt.row_digests)
    tables = {
        "index": _stage_table(files, generation, INDEX, index, INDEX_SCHEMA),
        "cases": _stage_table(files, generation, CASES, content.cases, CASES_SCHEMA),
        "classes": _stage_table(files, generation, CLASSES, content.classes, CLASSES_SCHEMA),
    }
    if content.findings is not None:
        tables["findings"] = _stage_table(files, generation, FINDINGS, content.findings, FINDINGS_SCHEMA)
    manifest = Manifest.model_validate(
        {
            "generation": (number := next_generation(files)),
            "n_samples": index.num_rows,
            "n_cases": content.cases.num_rows,
            "content_id": content_id,
            "settings": settings,
            "versions": content.versions,
            "tables": tables,
            "sources": tuple(content.sources),
            "failures": tuple(content.failures),
            "shards": shards,
            "history": _history(content, number, content_id, index.num_rows),
        }
    )
    documents = store_documents(manifest)
    for key, data in {**documents, MANIFEST: manifest.to_bytes()}.items():
        files.write_atomic(staged_table(generation, key), [data])
    moves = []
    for receipt in receipts.values():
        entry = receipt.entry(settings.member)
        for staged, final in ((receipt.images, entry.images), (receipt.masks, entry.masks)):
            if not files.exists(staged.key):
                msg = (
                    f"{files.url}: {staged.key} has a receipt but is gone; nothing was committed, build again"
                )
                raise StoreError(msg)
            moves.append((staged.key, final.key))
    listed = [entry.file.key for entry in tables.values()]
    moves += [(staged_table(generation, key), key) for key in (*listed, *documents)]
    if previous is None:
        removes = obsolete(files, (target for _, target in moves))
        if files.list_keys(GENERATIONS):
            removes.append(GENERATIONS)
    else:
        beyond = previous.shards[len(shards) :]
        removes = [tree_of(total.key) for entry in beyond for total in (entry.images, entry.masks)]
        if "findings" in previous.tables and "findings" not in tables:
            removes.append(FINDINGS)
    keep = previous is not None and (content.rewrite is not None or bool(kept_generations(files)))
    pending = PendingCommit(
        goal=goal,
        set_aside=tuple(replaced(files, moves, removes, keep=keep)),
        moves=tuple(moves),
        removes=tuple(removes),
        manifest=staged_table(generation, MANIFEST),
    )
    files.write_atomic(JOURNAL, [pending.model_dump_json().encode()])
    finish(files, pending)
    return manifest


def _history(content: StoreContent, number: int, content_id: str, n_rows: int) -> Sequence[ChangeEntry]:
    """Return what the manifest says of changes: nothing before the first that is more than an append."""
    previous, rewrite = content.previous, content.rewrite
    common = {"generation": number, "content_id": content_id, "n_samples": n_rows}
    if rewrite is not None:
        change = {"kind": rewrite.kind, "cases": rewrite.cases, "withdrawn": rewrite.withdrawn}
        return [*rewrite.history, ChangeEntry.model_validate(common | change)]
    if previous is None or not previous.history:
        return ()
    added = content.cases.column("case")[previous.n_cases :].to_pylist()
    return [
        *previous.history,
        ChangeEntry.model_validate(common | {"kind": "append", "cases": {"new": added}}),
    ]


def restore_shards(files: Files, generation: str, pairs: Sequence[tuple[ShardEntry, Receipt]]) -> None:
    """Put shards that were built again, as ``generation``, in place of damaged ones; for the lock's holder.

    Raises StoreFormatError, before any is touched, when one is not what was committed, byte for byte.
    """
    moves = []
    for entry, receipt in pairs:
        for staged, final in ((receipt.images, entry.images), (receipt.masks, entry.masks)):
            if (staged.size, staged.sha256) != (final.size, final.sha256):
                msg = (
                    f"{final.key} built again has sha256 {staged.sha256}, not the committed {final.sha256}: "
                    "the sources, the settings or the versions of the libraries are not those of the build"
                )
                _unstage(files, generation)  # or they would be trusted the next time
                raise StoreFormatError(msg)
            moves.append((staged.key, final.key))
    for source, target in moves:
        files.move(source, target)
    _unstage(files, generation)


def _unstage(files: Files, generation: str) -> None:
    """Remove what a generation staged, and nothing of another's, which a build may be going on with."""
    files.delete_tree(f"{STAGING}/{generation}")
    if not files.list_keys(STAGING):
        files.delete_tree(STAGING)


def _merge(
    old: Sequence[ShardEntry],
    receipts: Mapping[int, Receipt],
    committed: int,
    settings: StoreSettings,
    n_rows: int,
) -> list[ShardEntry]:
    """All shards of the store to be, in order. Raises StoreError when they do not hold its rows."""
    if n_rows == committed and not receipts:
        return list(old)
    first_new = committed // settings.shard_samples
    expected = {}
    for shard in range(first_new, -(-n_rows // settings.shard_samples)):
        first = shard * settings.shard_samples
        expected[shard] = (
            first,
            min(settings.shard_samples, n_rows - first),
            committed - first if shard == first_new else 0,
        )
    # By shard: its first row, its rows, and how many of them are copied.
    found = {shard: (r.first_row, r.n_rows, r.copied) for shard, r in sorted(receipts.items())}
    if found != expected:
        wrong = sorted(set(found.items()) ^ set(expected.items()))[:4]
        msg = f"the receipts do not hold rows {committed} to {n_rows}: they disagree at {wrong}"
        raise StoreError(msg)
    return [*old[:first_new], *(receipts[shard].entry(settings.member) for shard in expected)]


def _rewritten(
    rewrite: Rewrite, receipts: Mapping[int, Receipt], settings: StoreSettings, n_rows: int
) -> tuple[list[ShardEntry], str]:
    """All shards of the store to be, and its content id. Raises StoreError when they do not hold its rows."""
    shards, content_id = [], EMPTY_CONTENT
    for number in range(-(-n_rows // settings.shard_samples)):
        expected = min(settings.shard_samples, n_rows - number * settings.shard_samples)
        if number in rewrite.shards:
            entry, digests = rewrite.shards[number], unpacked(rewrite.digests[number])
        elif number in receipts:
            entry, digests = receipts[number].entry(settings.member), list(receipts[number].row_digests)
        else:
            msg = f"shard {number} was neither made nor is it to stay"
            raise StoreError(msg)
        if not expected == entry.n_rows == len(digests):
            msg = f"shard {number} is to hold {expected} rows, and holds {entry.n_rows}, with {len(digests)} digests"
            raise StoreError(msg)
        shards.append(entry)
        content_id = chain(content_id, digests)
    return shards, content_id


def _stage_table(files: Files, generation: str, key: str, table: pa.Table, schema: pa.Schema) -> TableEntry:
    total = write_file(files, staged_table(generation, key), [table_bytes(table, schema)])
    return TableEntry(file=total.model_copy(update={"key": key}), n_rows=table.num_rows)
