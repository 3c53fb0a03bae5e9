"""What a commit replaces of the store that is there, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterable

from fve_pipeline.errors import StoreError, StoreFormatError
from fve_pipeline.files.base import Files
from fve_pipeline.store.documents import store_documents
from fve_pipeline.store.layout import FINDINGS, MANIFEST, MASKS, aside_key, kept_key
from fve_pipeline.store.migrations import read_manifest

__all__ = ["obsolete", "replaced", "tree_of"]


def replaced(
    files: Files, moves: Iterable[tuple[str, str]], removes: Iterable[str], *, keep: bool
) -> list[tuple[str, str]]:
    """Return the files that the commit replaces or removes, each with the place where it is set aside, or kept.

    They are those that the manifest of the store that is there lists, and, to be kept, the manifest itself.
    """
    try:
        manifest = read_manifest(files)
    except (StoreError, StoreFormatError):
        return []  # no store, or one that does not open
    targets = {target for _, target in moves}
    trees = tuple(f"{tree}/" for tree in removes)
    shards = (total.key for entry in manifest.shards for total in (entry.images, entry.masks))
    tables = (entry.file.key for entry in manifest.tables.values())
    listed = [*shards, *tables, *store_documents(manifest)]
    targets |= set(removes)
    targeted = (key for key in listed if key in targets or key.startswith(trees))
    if keep:
        return [(key, kept_key(manifest.generation, key)) for key in (*targeted, MANIFEST)]
    return [(key, aside_key(manifest.generation, key)) for key in targeted]


def obsolete(files: Files, kept: Iterable[str]) -> list[str]:
    """Folders of shards, or of whole arrays, that a replaced store leaves behind, and its findings."""
    kept = list(kept)
    kept_trees = {tree_of(key) for key in kept}
    kept_members = {tree.split("/")[0] for tree in kept_trees}
    trees: set[str] = {FINDINGS} if FINDINGS not in kept and files.exists(FINDINGS) else set()
    for member in ("images", "slices", MASKS):
        for key in files.list_keys(member):
            tree = tree_of(key)
            if member not in kept_members:
                trees.add(member)
            elif tree not in kept_trees:
                trees.add(tree)
    return sorted(trees)


def tree_of(key: str) -> str:
    """Return the folder of a shard's file that no other shard has, or the file where it lies in none."""
    return "/".join(key.split("/")[:3])
