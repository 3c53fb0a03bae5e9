"""Older generations of a store: what a commit replaces may be kept, and is read where it lies.

A file of generation n lies in the folder of the first generation from n on that keeps one of its name, else in its
own place: whatever a later commit did not replace is shared. Folders go oldest first, so that none needs a missing one.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from fve_pipeline.errors import StoreError
from fve_pipeline.files.base import Buffer, Files
from fve_pipeline.files.mapped import KeptFile
from fve_pipeline.store.layout import GENERATIONS, MANIFEST, kept_key

if TYPE_CHECKING:
    from zarr.abc.store import Store as ZarrStore

__all__ = ["GenerationFiles", "kept_generations", "prune_generations", "sweep_generations"]

T = TypeVar("T")


def kept_generations(files: Files) -> tuple[int, ...]:
    """Return the older generations that can still be opened, ascending."""
    parts = (key.removeprefix(f"{GENERATIONS}/").split("/") for key in files.list_keys(GENERATIONS))
    return tuple(sorted(int(part[0]) for part in parts if part[1:] == [MANIFEST] and part[0].isdigit()))


def prune_generations(files: Files, keep: int = 0) -> tuple[int, ...]:
    """Remove all but the newest ``keep`` older generations; to be called by the lock's holder. Return those removed."""
    sweep_generations(files)
    held = kept_generations(files)
    gone = held[: len(held) - keep] if keep else held
    for generation in gone:
        # Without its manifest nobody opens it, and who has it open is told.
        files.delete(kept_key(generation, MANIFEST))
        files.delete_tree(f"{GENERATIONS}/{generation}")
    if len(gone) == len(held):
        files.delete_tree(GENERATIONS)
    return gone


def sweep_generations(files: Files) -> None:
    """Remove what is left of generations that were being pruned; to be called by the lock's holder."""
    held = {str(generation) for generation in kept_generations(files)}
    found = {key.removeprefix(f"{GENERATIONS}/").split("/")[0] for key in files.list_keys(GENERATIONS)}
    for generation in sorted(found - held):
        files.delete_tree(f"{GENERATIONS}/{generation}")
    if not held:
        files.delete_tree(GENERATIONS)


class GenerationFiles:
    """The files of one kept generation, for reading, as if the store had never been changed since.

    Every look raises StoreError once the generation was pruned.
    """

    def __init__(self, whole: Files, generation: int) -> None:
        self.whole = whole
        self.generation = generation
        self._newest: tuple[str, int] | None = None  # of the store's manifest: its stamp, its generation

    def __reduce__(self) -> tuple[type[GenerationFiles], tuple[Files, int]]:
        return GenerationFiles, (self.whole, self.generation)

    @property
    def url(self) -> str:
        """Where the store is, and which generation: ``open_store`` takes both together."""
        return f"{self.whole.url}@{self.generation}"

    def read(self, key: str) -> bytes:
        """Return the whole file."""
        return self._look(key, self.whole.read)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return ``length`` bytes from ``start`` on, fewer where the file ends before."""
        return self._look(key, lambda place: self.whole.read_range(place, start, length))

    def size(self, key: str) -> int:
        """Return the length of the file in bytes."""
        return self._look(key, self.whole.size)

    def mapped(self, key: str) -> KeptFile | None:
        """Return the file mapped for reading, None when it cannot be."""
        return self._look(key, self.whole.mapped)

    def stamp(self, key: str) -> str:
        """Return what is another one once the file has been replaced."""
        return self._look(key, self.whole.stamp)

    def exists(self, key: str) -> bool:
        """Return whether the generation has the file."""
        try:
            self.size(key)
        except FileNotFoundError:
            return False
        return True

    def local_path(self, key: str) -> Path | None:
        """Return a path on this machine, None when there is none."""
        return self._look(key, self._path)

    def list_keys(self, prefix: str = "") -> list[str]:
        """Return nothing: which files a generation has is in its manifest."""
        del prefix
        return []

    def zarr_store(self) -> ZarrStore:
        """Return the whole store's root, for zarr-python."""
        return self.whole.zarr_store()

    def _path(self, place: str) -> Path | None:
        path = self.whole.local_path(place)
        if path is not None and not path.is_file():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return path

    def _look(self, key: str, look: Callable[[str], T]) -> T:
        """Return what a look at the generation's file finds, wherever it lies."""
        if key.startswith(".fve/"):  # what builders leave is not of the generation
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self.url}/{key}")
        # In this order: a commit keeps a file before it puts another in its place.
        found = _attempt(look, key)
        for generation in range(self.generation, self._last() + 1):
            kept = _attempt(look, kept_key(generation, key))
            if kept is not None:
                found = kept
                break
        if not self.whole.exists(kept_key(self.generation, MANIFEST)):
            msg = f"{self.whole.url}: generation {self.generation} was pruned since it was opened"
            raise StoreError(msg)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self.url}/{key}")
        return found()

    def _last(self) -> int:
        """Return the generation that the store is at now."""
        stamp = self.whole.stamp(MANIFEST)
        if self._newest is None or self._newest[0] != stamp:
            self._newest = stamp, int(json.loads(self.whole.read(MANIFEST))["generation"])
        return self._newest[1]

    def _refuse(self) -> NoReturn:
        msg = f"{self.url} is an older generation, which is not written to"
        raise StoreError(msg)

    def write_atomic(self, key: str, pieces: Iterable[Buffer]) -> None:
        """Raise StoreError, as all that writes."""
        del key, pieces
        self._refuse()

    def copy(self, source: str, target: str) -> None:
        """Raise StoreError."""
        del source, target
        self._refuse()

    def move(self, source: str, target: str) -> None:
        """Raise StoreError."""
        del source, target
        self._refuse()

    def delete(self, key: str) -> None:
        """Raise StoreError."""
        del key
        self._refuse()

    def delete_tree(self, prefix: str) -> None:
        """Raise StoreError."""
        del prefix
        self._refuse()


def _attempt(look: Callable[[str], T], place: str) -> Callable[[], T] | None:
    try:
        found = look(place)
    except FileNotFoundError:
        return None
    return lambda: found
