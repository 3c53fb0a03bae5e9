"""The one commit of a build: everything staged becomes the store, or nothing does.

All that is needed to finish is on disk before anything is touched: the staged files, and a journal of what
goes where. Finishing is the same whether it begins or goes on after a kill: each step is skipped when it was
done. The manifest comes last; what was staged is swept after it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from fve_pipeline.errors import StoreError, StoreFormatError
from fve_pipeline.files.base import Files
from fve_pipeline.store.content import EMPTY_CONTENT, chain
from fve_pipeline.store.documents import store_documents
from fve_pipeline.store.layout import (
    CASES,
    CLASSES,
    INDEX,
    JOURNAL,
    JOURNAL_FOLDER,
    MANIFEST,
    MASKS,
    STAGING,
    Key,
    staged_table,
)
from fve_pipeline.store.migrations import in_one_line
from fve_pipeline.store.receipt import Receipt
from fve_pipeline.store.schema import (
    FailureEntry,
    Manifest,
    ShardEntry,
    SourceEntry,
    StoreSettings,
    TableEntry,
    Versions,
)
from fve_pipeline.store.shard import write_file
from fve_pipeline.store.tables import CASES_SCHEMA, CLASSES_SCHEMA, INDEX_SCHEMA, table_bytes

__all__ = ["StoreContent", "commit", "next_generation", "pending_manifest", "recover", "restore_shards"]


@dataclass(frozen=True, slots=True)
class StoreContent:
    """All that a commit publishes but what its shards tell.

    ``cases`` and ``classes`` are whole tables, committed rows first. ``previous`` is the manifest of the store that
    grows; with None the store is new, or replaces the one that is there.
    """

    settings: StoreSettings
    versions: Versions
    sources: Sequence[SourceEntry]
    failures: Sequence[FailureEntry]
    cases: pa.Table
    classes: pa.Table
    previous: Manifest | None = None

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
        return digest.hexdigest()


class PendingCommit(BaseModel):
    """What a commit does, in order: remove the old manifest if it is of another store, then every move, then
    the old trees, then the manifest's move. ``goal`` names what it makes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    goal: str
    replaces: bool
    moves: tuple[tuple[Key, Key], ...]
    removes: tuple[Key, ...]
    manifest: Key


def next_generation(files: Files) -> int:
    """Number of the next commit: one more than the store's, 1 when there is none."""
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
    followed by the new ones. Returns the new manifest. Raises StoreError when receipts and index do not cover the
    same rows, or a staged file is not there.
    """
    settings, previous = content.settings, content.previous
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
    manifest = Manifest.model_validate(
        {
            "generation": next_generation(files),
            "n_samples": index.num_rows,
            "n_cases": content.cases.num_rows,
            "content_id": content_id,
            "settings": settings,
            "versions": content.versions,
            "tables": tables,
            "sources": tuple(content.sources),
            "failures": tuple(content.failures),
            "shards": shards,
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
    moves += [(staged_table(generation, key), key) for key in (INDEX, CASES, CLASSES, *documents)]
    pending = PendingCommit(
        goal=goal,
        replaces=previous is None,
        moves=tuple(moves),
        removes=() if previous else tuple(_obsolete(files, (target for _, target in moves))),
        manifest=staged_table(generation, MANIFEST),
    )
    files.write_atomic(JOURNAL, [pending.model_dump_json().encode()])
    _finish(files, pending)
    return manifest


def recover(files: Files) -> str | None:
    """Finish a commit that was interrupted; to be called by the lock's holder before anything else.

    Returns the goal of that commit, None when there was none. What was staged without being committed stays, for
    the build to go on.
    """
    try:
        pending = PendingCommit.model_validate_json(files.read(JOURNAL))
    except FileNotFoundError:
        files.delete_tree(JOURNAL_FOLDER)  # half a journal, or the folder of one that was swept
        return None
    except ValidationError as error:
        msg = (
            f"{files.url}/{JOURNAL} does not say how to finish a commit: {in_one_line(error)}. It is damaged, or not "
            "ours: remove it and check the store with fve verify, or build to another place"
        )
        raise StoreFormatError(msg) from error
    _finish(files, pending)
    return pending.goal


def pending_manifest(files: Files) -> Manifest | None:
    """Return the manifest that a commit which is not finished is about to publish; None when there is none."""
    try:
        pending = PendingCommit.model_validate_json(files.read(JOURNAL))
        return Manifest.model_validate_json(files.read(pending.manifest))
    except (FileNotFoundError, ValidationError):
        return None


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


def _stage_table(files: Files, generation: str, key: str, table: pa.Table, schema: pa.Schema) -> TableEntry:
    total = write_file(files, staged_table(generation, key), [table_bytes(table, schema)])
    return TableEntry(file=total.model_copy(update={"key": key}), n_rows=table.num_rows)


def _obsolete(files: Files, kept: Iterable[str]) -> list[str]:
    """Folders of shards, or of whole arrays, that a replaced store leaves behind."""
    kept_trees = {"/".join(key.split("/")[:3]) for key in kept}
    kept_members = {tree.split("/")[0] for tree in kept_trees}
    trees: set[str] = set()
    for member in ("images", "slices", MASKS):
        for key in files.list_keys(member):
            tree = "/".join(key.split("/")[:3])
            if member not in kept_members:
                trees.add(member)
            elif tree not in kept_trees:
                trees.add(tree)
    return sorted(trees)


def _finish(files: Files, pending: PendingCommit) -> None:
    # Once the manifest has moved, only sweeping is left; the manifest that is there is the new one.
    if files.exists(pending.manifest):
        if pending.replaces:
            files.delete(MANIFEST)
        for source, target in pending.moves:
            if files.exists(source):
                files.move(source, target)
            elif not files.exists(target):
                msg = f"{files.url}: the commit cannot be finished: {source} is gone; use --overwrite"
                raise StoreError(msg)
        for tree in pending.removes:
            files.delete_tree(tree)
        files.move(pending.manifest, MANIFEST)
    _sweep(files)


def _sweep(files: Files) -> None:
    """Remove what builds left; the journal last, so that an interrupted sweep is finished too."""
    files.delete_tree(STAGING)
    files.delete_tree(JOURNAL_FOLDER)
