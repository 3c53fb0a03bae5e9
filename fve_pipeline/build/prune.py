"""Older generations of a store removed, by the holder of its lock."""

from __future__ import annotations

from fve_pipeline.build.transaction import holding
from fve_pipeline.store.generations import prune_generations
from fve_pipeline.store.layout import GENERATIONS
from fve_pipeline.store.reader import open_store

__all__ = ["prune_store"]


def prune_store(out: str, keep: int = 0) -> tuple[tuple[int, ...], int]:
    """Remove all but the newest ``keep`` older generations of the store ``out``; return them and the bytes freed.

    Raises StoreError when there is no store, StoreLockedError while somebody builds.
    """
    open_store(out)  # refuse before leaving a lock where there is no store
    with holding(out) as files:
        sizes: dict[str, int] = {}
        for key in files.list_keys(GENERATIONS):
            generation = key.removeprefix(f"{GENERATIONS}/").split("/")[0]
            sizes[generation] = sizes.get(generation, 0) + files.size(key)
        gone = prune_generations(files, keep)
        return gone, sum(sizes[str(generation)] for generation in gone)
