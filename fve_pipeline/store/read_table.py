"""Reading a store's tables: nothing in them is believed before the file's sha256 is the manifest's."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import time

import pyarrow as pa
import pyarrow.parquet as pq

from fve_pipeline.errors import FveError, StoreError, StoreFormatError
from fve_pipeline.files.base import Buffer, Files
from fve_pipeline.store.committed import has_grown_from, kept_since
from fve_pipeline.store.layout import aside_key, kept_key
from fve_pipeline.store.migrations import read_manifest
from fve_pipeline.store.schema import OPTIONAL, Manifest, TableEntry, TableName
from fve_pipeline.store.tables import migrated, schema_of, table_bytes

__all__ = ["read_table"]

# Of local files that were read before: what a change of the file changes, and its sha256.
_known: dict[str, tuple[tuple[int, int, int], str]] = {}
# A file that was written this short a time ago may be written again without another time showing.
_TICK_NS = 2 * 10**9


def read_table(files: Files, manifest: Manifest, name: TableName) -> pa.Table:
    """Return a table as it was when ``manifest`` was the store's, whatever was appended since.

    The file is the manifest's, by its sha256, set aside by a commit that is under way, kept, or neither; or it begins
    with the same rows and is that of a later commit.

    Raises StoreFormatError, naming the file, when it is missing, damaged, or not of the
    format; StoreError when the store was replaced since.
    """
    if name not in manifest.tables and name in OPTIONAL:
        return schema_of(name).empty_table()
    entry = manifest.tables[name]
    where = f"{files.url}/{entry.file.key}"
    newest = manifest.generation
    while True:
        places = _places(files, manifest.generation, entry.file.key)
        if not places:
            msg = f"{where} is missing: the store cannot be read without it; {_MEND}"
            raise StoreFormatError(msg)
        for data, found in places:
            if found == entry.file.sha256:
                return migrated(_parse(data, name, entry, where, manifest.format_version), name)
        # In this order: what was committed after the file was read shows as a later generation.
        now = _committed(files)
        if now is not None and now.generation > manifest.generation:
            kept = kept_since(files, manifest, now.generation)
            if kept is not None:
                return read_table(kept, manifest, name)
            grown = now.tables[name]
            for data, found in [*places, *_places(files, now.generation, entry.file.key)]:
                if found == grown.file.sha256:
                    parsed = _parse(data, name, grown, where, now.format_version)
                    return _first_rows(parsed, name, manifest, files, now)
        last, newest = newest, max(newest, now.generation if now else 0)
        if newest <= last:
            msg = (
                f"{where} has sha256 {places[0][1]}, not {entry.file.sha256}: it was changed or damaged after it was "
                f"written; {_MEND}"
            )
            raise StoreFormatError(msg)


_MEND = "fve verify says what else is wrong, fve encode --repair mends what it can"


def _places(files: Files, generation: int, key: str) -> list[tuple[Buffer, str]]:
    """Contents of a table's file, and of those that a commit on top of this generation has set aside or kept."""
    found = []
    for place in (key, aside_key(generation, key), kept_key(generation, key)):
        with contextlib.suppress(FileNotFoundError):
            found.append(_contents(files, place))
    return found


def _contents(files: Files, key: str) -> tuple[Buffer, str]:
    """Return the file's bytes and their sha256, which is not computed again for a local file that has not changed."""
    path = files.local_path(key)
    if path is None:
        data = files.read(key)
        return data, hashlib.sha256(data).hexdigest()
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        mapped: Buffer = b""
        if status.st_size:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
    before, found = _known.get(str(path), (None, ""))
    if stamp != before:
        found = hashlib.sha256(mapped).hexdigest()
        if time.time_ns() - status.st_mtime_ns > _TICK_NS:
            _known[str(path)] = stamp, found
    return mapped, found


def _parse(data: Buffer, name: TableName, entry: TableEntry, where: str, version: int) -> pa.Table:
    schema = schema_of(name, version)
    source = pa.py_buffer(data)
    try:
        metadata = pq.read_metadata(pa.BufferReader(source))
        columns = metadata.schema.to_arrow_schema()
        if not columns.equals(schema):
            msg = f"{where} does not have the format's columns: {_difference(columns, schema)}"
            raise StoreFormatError(msg)
        if metadata.num_rows != entry.n_rows:
            msg = f"{where} has {metadata.num_rows} rows where the manifest says {entry.n_rows}; {_MEND}"
            raise StoreFormatError(msg)
        return pq.read_table(pa.BufferReader(source))
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, FveError):
            raise
        msg = f"{where} cannot be read as Parquet, though its sha256 is right: {' '.join(str(error).split())}"
        raise StoreFormatError(msg) from error


def _difference(found: pa.Schema, expected: pa.Schema) -> str:
    missing = [f"{one.name} is missing" for one in expected if one.name not in found.names]
    extra = [f"{one.name} is not the format's" for one in found if one.name not in expected.names]
    other = [
        f"{one.name} is {found.field(one.name).type}, not {one.type}"
        for one in expected
        if found.names.count(one.name) == 1 and found.field(one.name).type != one.type
    ]
    return "; ".join([*missing, *extra, *other][:4]) or "they are in another order"


def _committed(files: Files) -> Manifest | None:
    try:
        return read_manifest(files)
    except FveError:  # what is wrong is said of the table that was asked for
        return None


def _first_rows(table: pa.Table, name: TableName, ours: Manifest, files: Files, now: Manifest) -> pa.Table:
    """Return the rows that our manifest knows, of a later commit's table; equal rows are written as equal bytes.

    Classes that were there may have more values since: those of combinations in which later cases show them.
    """
    entry = ours.tables[name]
    data = table_bytes(table.slice(0, entry.n_rows), schema_of(name, ours.format_version))
    if hashlib.sha256(data).hexdigest() == entry.file.sha256:
        return migrated(pq.read_table(pa.BufferReader(data)), name)
    if name == "classes" and has_grown_from(files, ours, now):
        return migrated(table.slice(0, entry.n_rows), name)
    msg = (
        f"{files.url}/{entry.file.key} was replaced by a later build, and no longer begins with the {entry.n_rows} "
        "rows that were committed when this store was opened: open the store again"
    )
    raise StoreError(msg)
