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
from fve_pipeline.store.generations import GenerationFiles
from fve_pipeline.store.layout import JOURNAL, MANIFEST, aside_key, kept_key
from fve_pipeline.store.migrations import read_manifest
from fve_pipeline.store.schema import Manifest
from fve_pipeline.store.shard import FileSum, first_rows

__all__ = ["CommittedFiles", "has_grown_from", "kept_since"]

T = TypeVar("T")


class CommittedFiles:
    """The shards and documents that ``manifest`` lists, for reading; see :class:`ReadableFiles`.

    ``stamp`` is that of the manifest's file when it was read, None when that is not known. Once the store has been
    changed, looks go to the generation that was kept; without one every look raises StoreError.
    """

    def __init__(self, files: Files, manifest: Manifest, stamp: str | None = None) -> None:
        self._files = files
        self._manifest = manifest
        # Generations by their manifest's stamp: ours, and those that have grown from it.
        self._ours = {} if stamp is None else {stamp: manifest.generation}
        self._older: GenerationFiles | None = None

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
            if self._older is not None:
                return look(self._older, key)
            found = _attempt(look, self._files, key)
            # In this order: a commit that is no longer pending has published its manifest before that.
            if self._files.exists(JOURNAL):
                # Everything is set aside before anything is replaced: what does not lie there is still ours.
                for place in (aside_key(generation, key), kept_key(generation, key)):
                    found = _attempt(look, self._files, place) or found
            if self._generation() == generation and self._older is None:
                if found is None:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self.url}/{key}")
                return found()
            # A commit was finished meanwhile, by which the store has only grown: look again.

    def _generation(self) -> int:
        """Return the generation of the store that is there, ours where it is kept.

        Raises StoreError unless it is ours or has grown from it.
        """
        while self._older is None and (stamp := self._stamp()) not in self._ours:
            now = read_manifest(self._files)
            if now != self._manifest and not has_grown_from(self._files, self._manifest, now):
                self._older = kept_since(self._files, self._manifest, now.generation)
                if self._older is not None:
                    break
                msg = (
                    f"{self.url} was replaced by another store since it was opened (generation "
                    f"{self._manifest.generation} then, {now.generation} now): open it again"
                )
                raise StoreError(msg)
            if stamp == self._stamp():
                self._ours[stamp] = now.generation
        return self._manifest.generation if self._older is not None else self._ours[stamp]

    def _stamp(self) -> str:
        try:
            return self._files.stamp(MANIFEST)
        except FileNotFoundError as error:
            msg = f"{self.url} is gone: it had a {MANIFEST} when it was opened"
            raise StoreError(msg) from error


def kept_since(files: Files, old: Manifest, newest: int) -> GenerationFiles | None:
    """Return the files of a kept generation that is an older manifest's, or has grown from it; None without one."""
    for generation in range(old.generation, newest):
        if files.exists(kept_key(generation, MANIFEST)):
            kept = GenerationFiles(files, generation)
            manifest = read_manifest(kept)
            return kept if manifest == old or has_grown_from(kept, old, manifest) else None
    return None


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
