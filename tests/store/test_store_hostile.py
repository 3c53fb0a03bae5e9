"""A store that was made to do harm is refused when it is opened, in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import store_maker as maker

from fve_pipeline.errors import FveError, StoreFormatError
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.store.layout import JOURNAL, MANIFEST
from fve_pipeline.store.pending import recover
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.receipt import read_receipts

ROWS = maker.plan({"a": 5, "b": 6})

Document = dict[str, Any]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    maker.build(LocalFiles(tmp_path / "store"), ROWS, maker.settings())
    return tmp_path / "store"


def edit(root: Path, change: Callable[[Document], Any]) -> None:
    document = json.loads((root / MANIFEST).read_bytes())
    change(document)
    (root / MANIFEST).write_text(json.dumps(document))


def put(*path: Any) -> Callable[[Document], Any]:
    """Set a value deep in a document: the path to it, then the value."""
    *way, last, value = path

    def change(document: Document) -> None:
        found: Any = document
        for name in way:
            found = found[name]
        found[last] = value

    return change


HOSTILE = {
    "a table elsewhere": (put("tables", "index", "file", "key", "../other/index.parquet"), "'../other/index"),
    "an absolute table": (
        put("tables", "cases", "file", "key", "/etc/passwd"),
        "'/etc/passwd' is not the name",
    ),
    "a shard elsewhere": (
        put("shards", 0, "images", "key", "images/c/../../../x"),
        "is not the name of a file",
    ),
    "another shard's": (
        put("shards", 0, "masks", "key", "masks/c/1/0/0"),
        "where this format has 'masks/c/0/0/0'",
    ),
    "another table's": (put("tables", "index", "file", "key", "cases.parquet"), "has 'index.parquet'"),
    "no index": (lambda document: document["tables"].pop("index"), "the tables are cases, classes, not"),
    "a further table": (put("tables", "extra", {}), "tables.extra"),
    "no file": (
        lambda document: document["tables"]["index"].pop("file"),
        "tables.index.file: Field required",
    ),
    "no settings": (lambda document: document.pop("settings"), "settings: Field required"),
    "huge samples": (put("settings", "size", 2**20), "too few for 4 samples of 1048576² pixels"),
    "huge shards": (put("settings", "shard_samples", 2**40), "do not hold 11 rows"),
    "a negative size": (
        put("shards", 1, "masks", "size", -1),
        "shards.1.masks.size: Input should be greater",
    ),
    "negative rows": (put("shards", 1, "n_rows", -4), "shards.1.n_rows"),
    "a negative count": (put("n_samples", -1), "n_samples"),
    "no number": (put("n_samples", "many"), "n_samples: Input should be a valid integer"),
    "more rows than there are": (put("tables", "index", "n_rows", 12), "index and cases have 12 and 2 rows"),
    "more cases than there are": (
        put("n_cases", 3),
        "index and cases have 11 and 2 rows for 11 samples of 3",
    ),
    "no sha256": (put("shards", 0, "images", "sha256", "0"), "shards.0.images.sha256"),
    "another dtype": (put("settings", "mask_dtype", "object"), "settings.mask_dtype"),
    "a list for a store": (put("tables", []), "tables"),
    "unknown keys": (put("exec", "rm"), "exec: Extra inputs are not permitted"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_manifest_is_refused_in_one_line(root: Path, name: str) -> None:
    change, message = HOSTILE[name]
    edit(root, change)
    with pytest.raises(StoreFormatError) as raised:
        open_store(root)
    told = str(raised.value)
    assert message in told
    assert told.startswith(f"{root / MANIFEST} is not a store's manifest, or is damaged")
    assert "\n" not in told


@pytest.mark.parametrize("shard_samples", [2**30, 2**62])
def test_an_index_that_no_file_can_hold(tmp_path: Path, shard_samples: int) -> None:
    maker.build(LocalFiles(tmp_path), ROWS[:3], maker.settings())
    edit(tmp_path, put("settings", "shard_samples", shard_samples))
    with pytest.raises(StoreFormatError, match=f"too few .* an index of {shard_samples} places"):
        open_store(tmp_path)


def test_huge_samples_in_files_that_are_declared_huge_too(root: Path) -> None:
    def change(document: Document) -> None:
        document["settings"]["size"] = 2**20
        for shard in document["shards"]:
            shard["images"]["size"] = shard["masks"]["size"] = 2**50

    edit(root, change)
    with pytest.raises(
        StoreFormatError, match=r"images/c/0/0/0/0 has \d+ bytes where manifest.json says 11258"
    ):
        open_store(root)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "[" * 100_000,
        '{"format_version": "x"}',
        '{"format_version": 1e999}',
        "\x00",
        "9" * 5000,
    ],
    ids=["empty", "null", "list", "deep", "version", "infinite", "nul", "long"],
)
def test_what_is_no_manifest_at_all(root: Path, text: str) -> None:
    (root / MANIFEST).write_text(text)
    with pytest.raises(StoreFormatError, match="is not a store's manifest") as raised:
        open_store(root)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "key", ["../outside", "/etc/hosts", "a/../../outside", "", ".", "a//b", "..\\outside"]
)
def test_a_journal_does_not_reach_outside(root: Path, key: str) -> None:
    outside = root.parent / "outside"
    outside.write_text("precious")
    journal = json.dumps(
        {"set_aside": [], "moves": [[key, "x"]], "removes": [key], "manifest": "m", "goal": "g"}
    )
    (root / JOURNAL).parent.mkdir(parents=True)
    (root / JOURNAL).write_text(journal)
    with pytest.raises(FveError, match=r"commit\.json does not say how"):
        recover(LocalFiles(root))
    assert outside.read_text() == "precious"


def test_a_receipt_does_not_reach_outside(root: Path) -> None:
    files, s = LocalFiles(root), maker.settings()
    maker.build_shard(files, "2", ROWS, 0, s, None)
    [key] = [key for key in files.list_keys(".fve") if "receipts" in key]
    document = json.loads(files.read(key))
    plan = {0: maker.plan_hash_of(ROWS[:4], s)}
    assert read_receipts(files, "2", plan)
    document["images"]["key"] = "../store/" + document["images"]["key"]
    files.write_atomic(key, [json.dumps(document).encode()])
    assert read_receipts(files, "2", plan) == {}
