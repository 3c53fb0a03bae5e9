"""Tables are trusted by their hash: damage is named, and a reader sees its own rows whatever was appended."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import store_maker as maker

from fve_pipeline.errors import FveError, StoreError, StoreFormatError
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.store import read_table as module
from fve_pipeline.store.layout import JOURNAL
from fve_pipeline.store.migrations import read_manifest
from fve_pipeline.store.read_table import read_table
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.schema import OPTIONAL, Manifest, TableName

ROWS = maker.plan({"a": 5, "b": 6})
MORE = maker.plan({"a": 5, "b": 6, "c": 7})
NAMES: tuple[TableName, ...] = ("index", "cases", "classes")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    maker.build(LocalFiles(tmp_path), ROWS, maker.settings())
    return tmp_path


def append(root: Path, rows: list[maker.Row] = MORE) -> Manifest:
    return maker.build(LocalFiles(root), rows, maker.settings(), read_manifest(LocalFiles(root)))


@pytest.mark.parametrize("name", NAMES)
def test_any_flipped_bit_is_named(root: Path, name: TableName) -> None:
    path = root / f"{name}.parquet"
    original = path.read_bytes()
    files, manifest = LocalFiles(root), read_manifest(LocalFiles(root))
    draw = random.Random(7)
    for _ in range(400):
        bit = draw.randrange(8 * len(original))
        data = bytearray(original)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with pytest.raises(StoreFormatError, match=rf"{name}\.parquet has sha256 .* fve verify .*--repair"):
            read_table(files, manifest, name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(b""), "has sha256"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "has sha256"),
        (lambda path: path.write_bytes(b"PAR1" * 99), "has sha256"),
    ],
    ids=["missing", "empty", "cut short", "garbage"],
)
def test_damage_is_named_when_a_table_is_first_used(
    root: Path, name: TableName, damage: Callable[[Path], Any], message: str
) -> None:
    damage(root / f"{name}.parquet")
    store = open_store(root)
    with pytest.raises(StoreFormatError, match=message) as raised:
        getattr(store, name)
    assert str(root / f"{name}.parquet") in str(raised.value)
    assert "\n" not in str(raised.value)


def retable(root: Path, name: TableName, data: bytes) -> None:
    """Replace a table by other bytes with the manifest's blessing, as only a forger does."""
    (root / f"{name}.parquet").write_bytes(data)
    manifest = json.loads((root / "manifest.json").read_bytes())
    manifest["tables"][name]["file"] |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (root / "manifest.json").write_text(json.dumps(manifest))


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_tables_that_are_not_of_the_format(root: Path, name: TableName) -> None:
    table = getattr(open_store(root), name)
    first = table.schema.names[0]
    number = table.schema.names.index("n_samples" if name == "cases" else table.schema.names[-1])
    column = table.schema.field(number).name
    for changed, message in (
        (table.drop_columns([first]), f"{first} is missing"),
        (table.append_column("colour", table.column(0)), "colour is not the format's"),
        (table.set_column(number, column, pa.array([1.5] * len(table))), f"{column} is double, not"),
        (table.select(table.schema.names[::-1]), "they are in another order"),
        (table.slice(0, 1), f"has 1 rows where the manifest says {len(table)}"),
    ):
        retable(root, name, parquet(changed))
        with pytest.raises(StoreFormatError, match=message):
            getattr(open_store(root), name)
    for data in (b"", b"PAR1", b"no table at all", parquet(table)[:-20] + b"\0" * 16 + b"PAR1"):
        retable(root, name, data)
        with pytest.raises(StoreFormatError, match="cannot be read as Parquet, though its sha256 is right"):
            getattr(open_store(root), name)


def tables_of(store: Store) -> list[pa.Table]:
    return [getattr(store, name) for name in NAMES]


def test_a_reader_sees_its_own_tables_after_appends(root: Path) -> None:
    expected = tables_of(open_store(root))
    store = open_store(root)
    append(root)
    append(root, [*MORE, ("d", 0)])
    assert tables_of(store) == expected
    assert store.index.column("case").combine_chunks().dictionary.to_pylist() == ["made/a", "made/b"]
    assert [
        table.slice(0, len(mine)) for table, mine in zip(tables_of(open_store(root)), expected, strict=True)
    ]


class Interfering(LocalFiles):
    """Does something, once, before or after a file is opened."""

    def __init__(self, root: Path, key: str, action: Callable[[], Any], *, after: bool) -> None:
        super().__init__(root)
        self.key, self.action, self.after = key, action, after

    def _happen(self, key: str) -> None:
        if key == self.key:
            self.key = ""
            self.action()

    def read(self, key: str) -> bytes:
        if not self.after:
            self._happen(key)
        try:
            return super().read(key)
        finally:
            if self.after:
                self._happen(key)

    def local_path(self, key: str) -> Path:
        self._happen(key)
        return super().local_path(key)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("key", "after"), [("{name}.parquet", False), (JOURNAL, False), (JOURNAL, True), ("manifest.json", True)]
)
def test_an_append_that_finishes_while_a_table_is_opened(
    root: Path, name: TableName, key: str, after: bool
) -> None:
    expected = getattr(open_store(root), name)
    manifest = read_manifest(LocalFiles(root))
    append(root)  # so that the table is not the first manifest's any more, and the journal is looked for
    files = Interfering(
        root, key.format(name=name), lambda: append(root, [*MORE, ("d", 0), ("d", 1)]), after=after
    )
    assert read_table(files, manifest, name).equals(expected)
    assert len(read_manifest(files).shards) == 5


def test_a_store_that_was_replaced_is_not_taken_for_the_readers(root: Path) -> None:
    store = open_store(root)
    maker.build(LocalFiles(root), maker.plan({"d": 5, "e": 6}), maker.settings())
    for name in ("index", "cases"):
        with pytest.raises(StoreError, match=r"was replaced by a later build.*open the store again"):
            getattr(store, name)


def test_damage_after_an_append_is_not_taken_for_the_append(root: Path) -> None:
    store = open_store(root)
    append(root)
    for name in NAMES:
        path = root / f"{name}.parquet"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(StoreFormatError, match="has sha256"):
            getattr(store, name)


def test_a_journal_that_is_damaged_hides_nothing(root: Path) -> None:
    (root / JOURNAL).parent.mkdir(parents=True)
    (root / JOURNAL).write_text('{"replaces": false}')
    (root / "cases.parquet").write_bytes(b"")
    with pytest.raises(FveError, match="has sha256"):
        _ = open_store(root).cases


def test_a_hash_is_remembered_for_files_that_have_settled(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "index.parquet"
    monkeypatch.setattr(module, "_known", {})
    _ = open_store(root).index
    assert not module._known  # just written: it could be written again within the clock's tick
    settled = time.time_ns() - 10**10
    os.utime(path, ns=(settled, settled))
    _ = open_store(root).index
    assert list(module._known) == [str(path)]
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreFormatError, match="has sha256"):
        _ = open_store(root).index


def test_every_table_has_a_schema(root: Path) -> None:
    assert set(get_args(TableName)) - OPTIONAL == set(NAMES) == set(open_store(root).manifest.tables)
    assert open_store(root).findings.num_rows == 0
