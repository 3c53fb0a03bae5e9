"""The files of a store as one manifest lists them, whatever is committed while they are read.

A file is looked at first and the store's state asked for after that. While a commit is under way, what it replaces
lies aside. After it, a store that has only grown still has our rows; one that was replaced has not, and says so.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from typing import TypeVar

from fve_pipeline.errors import StoreError
from fve_pipeline.files.base import Files, ReadableFiles
from fve_pipeline.files.mapped import KeptFile
from fve_pipeline.store.layout import JOURNAL, MANIFEST, aside_key
from fve_pipeline.store.migrations import read_manifest
from fve_pipeline.store.schema import Manifest
from fve_pipeline.store.shard import FileSum, first_rows

__all__ = ["CommittedFiles", "has_grown_from"]

T = TypeVar("T")


class CommittedFiles:
    """The shards and documents that ``manifest`` lists, for reading; see :class:`ReadableFiles`.

    ``stamp`` is that of the manifest's file when it was read, None when that is not known. Every look raises
    StoreError once the store has been replaced.
    """

    def __init__(self, files: Files, manifest: Manifest, stamp: str | None = None) -> None:
        self._files = files
        self._manifest = manifest
        # Generations by their manifest's stamp: ours, and those that have grown from it.
        self._ours = {} if stamp is None else {stamp: manifest.generation}

    @property
    def url(self) -> str:
        """Where the store's root is."""
        return self._files.url

    def read(self, key: str) -> bytes:
        """Return the whole file."""
        return self.look(key, lambda files, place: files.read(place))

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return ``length`` bytes from ``start`` on, fewer where the file ends before."""
        return self.look(key, lambda files, place: files.read_range(place, start, length))

    def size(self, key: str) -> int:
        """Return the length of the file in bytes."""
        return self.look(key, lambda files, place: files.size(place))

    def mapped(self, key: str) -> KeptFile | None:
        """Return the file mapped for reading, None when it cannot be."""
        return self.look(key, lambda files, place: files.mapped(place))

    def look(self, key: str, look: Callable[[ReadableFiles, str], T]) -> T:
        """Return what ``look(files, place)`` finds in the file that is ours, wherever it lies now.

        Raises FileNotFoundError when it is missing.
        """
        while True:
            generation = self._generation()
            found = _attempt(look, self._files, key)
            # In this order: a commit that is no longer pending has published its manifest before that.
            if self._files.exists(JOURNAL):
                # Everything is set aside before anything is replaced: what does not lie there is still ours.
                found = _attempt(look, self._files, aside_key(generation, key)) or found
            if self._generation() == generation:
                if found is None:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self.url}/{key}")
                return found()
            # A commit was finished meanwhile, by which the store has only grown: look again.

    def _generation(self) -> int:
        """Return the generation of the store that is there. Raises StoreError unless it is ours or has grown from it."""
        while (stamp := self._stamp()) not in self._ours:
            now = read_manifest(self._files)
            if now != self._manifest and not has_grown_from(self._files, self._manifest, now):
                msg = (
                    f"{self.url} was replaced by another store since it was opened (generation "
                    f"{self._manifest.generation} then, {now.generation} now): open it again"
                )
                raise StoreError(msg)
            if stamp == self._stamp():
                self._ours[stamp] = now.generation
        return self._ours[stamp]

    def _stamp(self) -> str:
        try:
            return self._files.stamp(MANIFEST)
        except FileNotFoundError as error:
            msg = f"{self.url} is gone: it had a {MANIFEST} when it was opened"
            raise StoreError(msg) from error


def has_grown_from(files: Files, old: Manifest, now: Manifest) -> bool:
    """Tell whether the store that is there begins with all rows of an older manifest's.

    Whole shards and catalogs are compared by their sums. The old tail is made again from its successor's chunks.
    """
    if now.generation < old.generation or now.settings != old.settings or len(now.shards) < len(old.shards):
        return False
    if not set(old.sources) <= set(now.sources):
        return False
    current, capacity = CommittedFiles(files, now), old.settings.shard_samples
    return all(
        _begins(current, before, after, capacity, entry.n_rows)
        for entry, successor in zip(old.shards, now.shards, strict=False)
        for before, after in ((entry.images, successor.images), (entry.masks, successor.masks))
    )


def _begins(files: CommittedFiles, before: FileSum, after: FileSum, capacity: int, n: int) -> bool:
    if before.sha256 == after.sha256:
        return True
    if n == capacity:
        return False  # a full shard has no successor
    return hashlib.sha256(first_rows(files, after.key, capacity, n)).hexdigest() == before.sha256


def _attempt(
    look: Callable[[ReadableFiles, str], T], files: ReadableFiles, place: str
) -> Callable[[], T] | None:
    """Return what a look finds, to be called for; None when there is no such file."""
    try:
        found = look(files, place)
    except FileNotFoundError:
        return None
    return lambda: found
