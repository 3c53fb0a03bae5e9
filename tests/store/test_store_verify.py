"""Verification: every flipped byte is found, and its shard named."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import store_maker as maker

from fve_pipeline.errors import StoreFormatError
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.store.content import EMPTY_CONTENT
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.verify import Finding, verify

ROWS = maker.plan({"a": 5, "b": 6})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    maker.build(LocalFiles(tmp_path), ROWS, maker.settings())
    return tmp_path


@pytest.mark.parametrize("threads", [1, 2])
def test_a_good_store(root: Path, threads: int) -> None:
    seen: list[tuple[int, int]] = []
    assert verify(open_store(root), deep=True, threads=threads, progress=lambda *n: seen.append(n)) == []
    assert seen == [(1, 3), (2, 3), (3, 3)]


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << position % 8
    path.write_bytes(data)


def test_any_flipped_byte_of_any_file(root: Path) -> None:
    paths = [path for path in root.rglob("*") if path.is_file()]
    assert len(paths) == 3 * 2 + 3 + 3 + 1  # shards, metadata, tables, manifest
    for path in paths:
        original = path.read_bytes()
        for position in range(0, len(original), max(1, len(original) // 9)):
            flip(path, position)
            try:
                findings = verify(open_store(root))
            except StoreFormatError:
                if path.name != "manifest.json":
                    raise
                continue
            finally:
                path.write_bytes(original)
            key = path.relative_to(root).as_posix()
            if key == "manifest.json":
                assert findings
            else:
                assert key in {finding.file for finding in findings}
            if "/c/" in key:
                assert findings == [Finding(key, findings[0].problem, int(key.split("/")[2]))]
    assert verify(open_store(root)) == []


def test_missing_files(root: Path) -> None:
    for key in ("images/c/2/0/0/0", "masks/zarr.json", "cases.parquet"):
        (root / key).unlink()
    found = {finding.file: finding.problem for finding in verify(open_store(root), deep=True)}
    assert found == {"images/c/2/0/0/0": "missing", "masks/zarr.json": "missing", "cases.parquet": "missing"}


def edit_manifest(root: Path, **changes: object) -> None:
    """Change the manifest as someone would who also puts its new sum into the root's metadata."""
    from fve_pipeline.store.documents import store_documents
    from fve_pipeline.store.schema import Manifest

    manifest = Manifest.model_validate({**json.loads((root / "manifest.json").read_bytes()), **changes})
    (root / "manifest.json").write_bytes(manifest.to_bytes())
    for key, data in store_documents(manifest).items():
        (root / key).write_bytes(data)


def test_deep_finds_a_wrong_content_id(root: Path) -> None:
    edit_manifest(root, content_id=EMPTY_CONTENT)
    assert verify(open_store(root)) == []
    findings = verify(open_store(root), deep=True)
    assert [finding.file for finding in findings] == ["manifest.json"]
    assert "content id" in findings[0].problem


def test_deep_finds_an_index_that_does_not_fit_the_masks(tmp_path: Path) -> None:
    files, s = LocalFiles(tmp_path), maker.settings()
    wrong = maker.index_table(maker.plan({"a": 5, "b": 6}), s)
    pixels = wrong["class_pixels"].to_pylist()
    pixels[5 + 4][0] += 1
    column = wrong.schema.get_field_index("class_pixels")
    wrong = wrong.set_column(
        column, wrong.schema.field(column), pa.array(pixels, wrong.schema.field(column).type)
    )
    maker.publish(files, ROWS, s, maker.stage(files, ROWS, s), index=wrong)
    assert verify(open_store(tmp_path)) == []
    findings = verify(open_store(tmp_path), deep=True)
    assert [(finding.file, finding.shard) for finding in findings] == [("index.parquet", 2)]
    assert "row 9" in findings[0].problem


def test_a_store_that_changed_meanwhile(root: Path) -> None:
    store = open_store(root)
    maker.build(LocalFiles(root), maker.plan({"a": 5, "b": 6, "c": 1}), maker.settings(), store.manifest)
    assert "open the store again" in verify(store)[0].problem
    assert verify(open_store(root), deep=True) == []


def test_the_index_says_the_same_as_the_file(root: Path) -> None:
    assert pq.read_table(root / "index.parquet").equals(open_store(root).index)
