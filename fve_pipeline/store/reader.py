"""Opening a committed store."""

from __future__ import annotations

import dataclasses
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fve_pipeline.errors import StoreError, StoreFormatError
from fve_pipeline.files.base import Files, ReadableFiles
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.files.open import open_files
from fve_pipeline.store.cache import CachedShards, ShardCache
from fve_pipeline.store.class_table import ClassTable
from fve_pipeline.store.committed import CommittedFiles
from fve_pipeline.store.documents import mask_codec, pixel_codec
from fve_pipeline.store.findings import findings_digests
from fve_pipeline.store.generations import GenerationFiles, kept_generations
from fve_pipeline.store.layout import MANIFEST, MASKS, Member, kept_key
from fve_pipeline.store.migrations import read_manifest
from fve_pipeline.store.read_table import read_table
from fve_pipeline.store.rows import Rows
from fve_pipeline.store.schema import Manifest, StoreSettings

if TYPE_CHECKING:
    import pyarrow as pa
    import zarr

__all__ = ["Store", "open_store", "split_generation"]


class Store:
    """A committed store, as its manifest was when it was opened: rows appended later are not seen.

    ``len(store)`` is N. Tables and arrays are opened when they are first used. Picklable (the copy opens its
    own files), and safe across threads and, when it is local, forks. Shards of a store in an object store are
    kept in ``cache`` once they are read. Once the store is changed, this stays the generation that it was, where that
    is kept; once it is replaced by another, what was not read yet is refused with a StoreError. ``stamp`` is that of
    the manifest's file, where it is known.
    """

    def __init__(
        self, files: Files, manifest: Manifest, cache: ShardCache | None = None, stamp: str | None = None
    ) -> None:
        self.files = files
        self.manifest = manifest
        self._cache = cache
        self._stamp = stamp

    def __repr__(self) -> str:
        return f"open_store({self.files.url!r})  # {len(self)} samples, {self.settings.storage}"

    def __len__(self) -> int:
        return self.manifest.n_samples

    def __reduce__(self) -> tuple[type[Store], tuple[Files, Manifest, ShardCache | None, str | None]]:
        return Store, (self.files, self.manifest, self._cache, self._stamp)

    @property
    def settings(self) -> StoreSettings:
        """What the store's bytes depend on besides its sources."""
        return self.manifest.settings

    @cached_property
    def index(self) -> pa.Table:
        """N rows: row i describes sample i (``schema.INDEX_SCHEMA``).

        Like the other tables it is checked against its sha256 when it is first used. Raises StoreFormatError, naming
        the file, when it is missing or damaged, and StoreError when the store was replaced since it was opened.
        """
        return read_table(self.files, self.manifest, "index")

    @cached_property
    def cases(self) -> pa.Table:
        """One row a case (``schema.CASES_SCHEMA``)."""
        return read_table(self.files, self.manifest, "cases")

    @cached_property
    def classes(self) -> pa.Table:
        """One row a class of a dataset (``schema.CLASSES_SCHEMA``)."""
        return read_table(self.files, self.manifest, "classes")

    @cached_property
    def findings(self) -> pa.Table:
        """One row a finding (``tables.FINDINGS_SCHEMA``); none where no dataset has sentences of its cases."""
        return read_table(self.files, self.manifest, "findings")

    @cached_property
    def finding_digests(self) -> dict[str, str]:
        """What the content id holds of each case's findings, by case."""
        return findings_digests(self.findings)

    @cached_property
    def class_table(self) -> ClassTable:
        """The classes of ``classes``, to be asked which are whose."""
        return ClassTable.of(self.classes)

    @cached_property
    def images(self) -> zarr.Array[Any]:
        """(N, S, S, 3) uint8 zarr array: focal slice, encoded slices before it, after it. Encoded stores."""
        self._require("encoded")
        return self._zarr("images")

    @cached_property
    def slices(self) -> zarr.Array[Any]:
        """(N, S, S) uint8 zarr array: each slice once. Stores with ``slices`` storage."""
        self._require("slices")
        return self._zarr("slices")

    @cached_property
    def masks(self) -> zarr.Array[Any]:
        """(N, S, S) zarr array of label ids, uint8 or uint16."""
        return self._zarr(MASKS)

    @cached_property
    def pixel_rows(self) -> Rows:
        """Fast reader of ``images`` or ``slices``, whichever the store has."""
        return self._rows(self.settings.member)

    @cached_property
    def mask_rows(self) -> Rows:
        """Fast reader of ``masks``."""
        return self._rows(MASKS)

    def read_images(self, start: int, stop: int, out: np.ndarray | None = None) -> np.ndarray:
        """Return the encoded images of rows ``start`` to ``stop``: (n, S, S, 3) uint8.

        Into ``out`` when it is given. Raises StoreError when the store holds slices; IndexError and StoreFormatError
        as :meth:`fve_pipeline.store.rows.Rows.take` does.
        """
        self._require("encoded")
        return self.pixel_rows.read(start, stop, out)

    def read_slices(self, start: int, stop: int, out: np.ndarray | None = None) -> np.ndarray:
        """Return the focal slices of rows ``start`` to ``stop``: (n, S, S) uint8, equal in both forms of storage."""
        if self.settings.storage == "slices":
            return self.pixel_rows.read(start, stop, out)
        focal = self.pixel_rows.read(start, stop)[..., 0]
        if out is None:
            return np.ascontiguousarray(focal)
        out[...] = focal
        return out

    def read_masks(self, start: int, stop: int, out: np.ndarray | None = None) -> np.ndarray:
        """Return the masks of rows ``start`` to ``stop``: (n, S, S) uint8 or uint16."""
        return self.mask_rows.read(start, stop, out)

    def sample(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Return one row: its pixels as they are stored, (S, S, 3) or (S, S) uint8, and its mask (S, S)."""
        return self.pixel_rows.take([row])[0], self.mask_rows.take([row])[0]

    def _require(self, storage: str) -> None:
        if self.settings.storage != storage:
            wanted = "images" if storage == "encoded" else "slices"
            msg = (
                f"{self.files.url} has storage {self.settings.storage!r} and no {wanted}: read "
                f".{self.settings.member}, or convert it with fve encode --from"
            )
            raise StoreError(msg)

    def _rows(self, member: Member) -> Rows:
        codec = mask_codec(self.settings) if member == MASKS else pixel_codec(self.settings)
        return Rows(self.shard_files, member, len(self), self.settings.shard_samples, codec)

    @cached_property
    def committed(self) -> CommittedFiles:
        """The store's files as its manifest lists them, whatever is committed meanwhile."""
        return CommittedFiles(self.files, self.manifest, self._stamp)

    @cached_property
    def shard_files(self) -> ReadableFiles:
        """Where the shards are read: whole copies in the cache when the store is remote."""
        whole = self.files.whole if isinstance(self.files, GenerationFiles) else self.files
        if isinstance(whole, LocalFiles):
            return self.committed
        sums = {total.key: total for entry in self.manifest.shards for total in (entry.images, entry.masks)}
        return CachedShards(self.files, self.committed, sums, self._cache or ShardCache())

    def _zarr(self, member: Member) -> zarr.Array[Any]:
        import zarr

        from fve_pipeline.store.zarr_view import CommittedZarr

        array = zarr.open_array(CommittedZarr(self.files.zarr_store(), self.committed), path=member, mode="r")
        # N is the manifest's: an append may have made the array longer since.
        metadata = dataclasses.replace(array.metadata, shape=(len(self), *array.shape[1:]))
        return zarr.Array(zarr.AsyncArray(metadata=metadata, store_path=array.store_path))


# A store and one of its generations, in one word.
_GENERATION = re.compile(r"(.+)@([1-9]\d*)")


def open_store(
    location: str | Path, *, generation: int | None = None, cache: ShardCache | None = None
) -> Store:
    """Open the store at ``location``, a folder or a URL such as s3://bucket/slices.zarr.

    With ``generation`` it is opened as it was then, for as long as that generation is kept; ``slices.zarr@3`` as a
    location says the same in one word, wherever no folder is called so. ``cache`` is where whole
    shards of a remote store are kept: by default up to 20 GiB of them below ~/.cache/fve_pipeline.

    Raises StoreError when there is none or it is not committed, and says what to do; StoreFormatError when
    its manifest is damaged, or newer than this package.
    """
    if generation is None:
        location, generation = split_generation(location)
    files = open_files(location)
    if generation is not None:
        files = _older(files, generation)
    stamp = files.stamp(MANIFEST) if files.exists(MANIFEST) else None
    manifest = read_manifest(files)
    unchanged = stamp is not None and stamp == files.stamp(MANIFEST)
    store = Store(files, manifest, cache, stamp if unchanged else None)
    _refuse_false_sizes(store)
    return store


def split_generation(location: str | Path) -> tuple[str | Path, int | None]:
    """Return a location without the generation that it may name, and that."""
    found = _GENERATION.fullmatch(str(location))
    if found is None or Path(location).exists():
        return location, None
    return found[1], int(found[2])


def _older(files: Files, generation: int) -> Files:
    """Return the files of a generation. Raises StoreError when it is not kept."""
    if files.exists(kept_key(generation, MANIFEST)):
        return GenerationFiles(files, generation)
    now = read_manifest(files).generation
    if generation == now:
        return files
    others = ", ".join(map(str, (*kept_generations(files), now)))
    msg = (
        f"{files.url} has no generation {generation}: those that can be opened are {others}. What fve update and "
        "fve withdraw replace is kept until fve prune; what fve build adds to is not"
    )
    raise StoreError(msg)


# Samples up to this many bytes are harmless, whoever made the manifest.
_HARMLESS = 1 << 28


def _refuse_false_sizes(store: Store) -> None:
    """Refuse a manifest that declares huge samples in files that are too small to hold them."""
    manifest, files = store.manifest, store.committed
    if manifest.settings.pixel_bytes <= _HARMLESS:
        return
    for total in (total for entry in manifest.shards[:1] for total in (entry.images, entry.masks)):
        try:
            size = files.size(total.key)
        except FileNotFoundError:
            size = 0
        if size < total.size:
            msg = (
                f"{files.url}/{total.key} has {size} bytes where {MANIFEST} says {total.size}, for samples of "
                f"{manifest.settings.size}² pixels: the store is damaged, or was made to use up memory"
            )
            raise StoreFormatError(msg)
