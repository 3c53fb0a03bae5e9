"""Models, tables and digests: what is recorded, and that it is recorded the same way every time."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import store_maker as maker
from pydantic import ValidationError

from fve_pipeline.errors import StoreFormatError
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.store import migrations, tables
from fve_pipeline.store.content import EMPTY_CONTENT, chain, row_digest
from fve_pipeline.store.schema import INDEX_SCHEMA, Manifest
from fve_pipeline.store.tables import table_bytes

ROWS = maker.plan({"a": 5, "b": 6})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": 6, "size": 48}, "not divisible by 32"),
        ({"val_fraction": 0.6, "test_fraction": 0.6}, "exceed 1"),
        ({"colour": "red"}, "colour"),
        ({"codec": "lzma"}, "codec"),
        ({"order": -1}, "order"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        maker.settings(**changes)


def test_manifest_round_trip_and_row_count(tmp_path: Path) -> None:
    manifest = maker.build(LocalFiles(tmp_path), ROWS, maker.settings())
    assert Manifest.model_validate_json(manifest.to_bytes()) == manifest
    document = json.loads(manifest.to_bytes())
    for change in (
        {"n_samples": 12},
        {"shards": document["shards"][::-1]},
        {"shards": document["shards"][1:]},
    ):
        with pytest.raises(ValidationError, match="do not hold"):
            Manifest.model_validate({**document, **change})


def test_an_older_format_goes_through_its_migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a version 0 that never was: it had no list of failures."""
    manifest = maker.build(LocalFiles(tmp_path), ROWS, maker.settings())
    document = json.loads(manifest.to_bytes())
    del document["failures"]
    document["format_version"] = 0
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(StoreFormatError):
        migrations.read_manifest(LocalFiles(tmp_path))
    monkeypatch.setitem(migrations.MIGRATIONS, 0, lambda old: {**old, "format_version": 2, "failures": []})
    assert migrations.read_manifest(LocalFiles(tmp_path)) == manifest


def test_parquet_bytes_depend_on_the_rows_alone() -> None:
    table = maker.index_table(ROWS, maker.settings())
    expected = table_bytes(table, INDEX_SCHEMA)
    pieces = pa.concat_tables([table.slice(0, 3), table.slice(3, 1), table.slice(4)])
    assert table_bytes(pieces, INDEX_SCHEMA) == expected
    # A dictionary with words in another order, and one that is not used.
    words = pa.array(["unused", "made/b", "made/a"])
    codes = pa.array([2] * 5 + [1] * 6, pa.int32())
    column = table.schema.get_field_index("case")
    other = table.set_column(column, table.schema.field(column), pa.DictionaryArray.from_arrays(codes, words))
    assert table_bytes(other.select(list(reversed(other.column_names))), INDEX_SCHEMA) == expected


def test_many_row_groups_hold_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    table = maker.index_table(ROWS, maker.settings())
    monkeypatch.setattr(tables, "_ROW_GROUP", 4)
    written = table_bytes(table, INDEX_SCHEMA)
    assert written == table_bytes(pa.concat_tables([table.slice(0, 3), table.slice(3)]), INDEX_SCHEMA)
    read = pq.ParquetFile(io.BytesIO(written))
    assert read.num_row_groups == -(-len(table) // 4) > 1
    assert read.read().to_pylist() == table.to_pylist()
    assert read.schema_arrow.equals(INDEX_SCHEMA)


def test_a_digest_written_out() -> None:
    focal, mask = np.arange(4, dtype=np.uint8).reshape(2, 2), np.array([[0, 1], [256, 2]], np.uint16)
    identity = b'["made/\xc3\xa9","r","axial",3]'
    expected = hashlib.sha256(identity + bytes([0, 1, 2, 3]) + bytes([0, 0, 1, 0, 0, 1, 2, 0])).hexdigest()
    assert row_digest(("made/é", "r", "axial", 3), focal, mask) == expected
    assert row_digest(("made/é", "r", "axial", 3), np.stack([focal] * 3, -1)[..., 0], mask) == expected
    first = hashlib.sha256(bytes.fromhex(EMPTY_CONTENT) + bytes.fromhex(expected)).hexdigest()
    assert chain(EMPTY_CONTENT, [expected]) == first
    assert chain(first, [expected]) == chain(EMPTY_CONTENT, [expected, expected])
