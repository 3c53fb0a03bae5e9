"""What cases that were withdrawn are known by, and every file in which it is looked for."""

from __future__ import annotations

import contextlib
import json
import mmap
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from fve_pipeline.build.byte_search import ANCHOR
from fve_pipeline.build.rewrite import laid_cases
from fve_pipeline.files.base import Files
from fve_pipeline.store.layout import GENERATIONS
from fve_pipeline.store.reader import Store

__all__ = ["anchors_of", "ends_of", "remaining_files", "words_of"]


def anchors_of(store: Store, ids: frozenset[str]) -> set[bytes]:
    """Return the last bytes of the cases' chunks; of blank ones, which are anybody's, none."""
    found = set()
    for case, rows in laid_cases(store).items():
        if case not in ids:
            continue
        for rows_of in (store.pixel_rows, store.mask_rows):
            for row in rows:
                decoded = rows_of.take([row])[0]
                if decoded.min() == decoded.max():
                    continue
                found.add(bytes(rows_of.encoded(row)[-ANCHOR:]))
    return found


def ends_of(store: Store, anchors: Collection[bytes]) -> set[bytes]:
    """Return those of the anchors that chunks of the store's own rows end in: others have the same mask."""
    rows = range(len(store)) if anchors else ()
    ends = (bytes(of.encoded(row)[-ANCHOR:]) for of in (store.pixel_rows, store.mask_rows) for row in rows)
    return {end for end in ends if end in anchors}


def words_of(rows: Sequence[Mapping[str, Any]], store: Store) -> dict[str, str]:
    """Return what the cases are known by, and what kind of name each is; names that others bear too are left out."""
    words: dict[str, str] = {}
    for row in rows:
        words[row["case"]] = "the id of a case"
        words[row["case"].partition("/")[2]] = "the name of a case"
        words[row["subject"]] = "a subject"
        for path in (row["source"], *row["labels"]):
            words[path] = "the path of a source"
        for sha256 in (row["source_sha256"], *row["labels_sha256"], row["pixels_sha256"]):
            words[sha256] = "the hash of a source"
        for finding in row["findings"]:
            words[finding["source"]] = "the path of a source"
    others: set[str] = set()
    columns = ["case", "subject", "source", "labels", "source_sha256", "labels_sha256", "pixels_sha256"]
    for row in store.cases.select(columns).to_pylist():
        others |= {row["case"], row["case"].partition("/")[2], row["subject"], row["source"]}
        others |= {*row["labels"], row["source_sha256"], *row["labels_sha256"], row["pixels_sha256"]}
    others |= set(store.findings.column("source").to_pylist())
    # A folder called 3 says nothing of anyone.
    named = {
        word: what
        for word, what in words.items()
        if word and word not in others and not (word.isdigit() and len(word) < 4)
    }
    return named | dict.fromkeys(_sentences_of(rows, store), "a sentence")


def _sentences_of(rows: Sequence[Mapping[str, Any]], store: Store) -> Iterator[str]:
    """Yield what was said of the cases alone, as text, JSON and HTML have it."""
    said = {text for row in rows for finding in row["findings"] for text in finding["texts"]}
    left = {text for texts in store.findings.column("texts").to_pylist() for text in texts}
    left |= {text for entry in store.class_table for text in (entry.name, *entry.prompts)}
    everything = "\n".join(sorted(left))
    for text in sorted(said):
        if " " in text.strip() and text not in everything:  # one word says nothing of anyone
            yield from {
                text,
                json.dumps(text)[1:-1],
                json.dumps(text, ensure_ascii=False)[1:-1],
                escape(text),
            }


def remaining_files(files: Files, out: str, work: Path) -> Iterator[tuple[str, Any]]:
    """Yield every file of the store but older generations, of the folder of prepared cases, and beside the store."""
    for key in files.list_keys():
        if key.startswith(f"{GENERATIONS}/"):
            continue
        path = files.local_path(key)
        yield f"{files.url}/{key}", partial(_held, files, key) if path is None else partial(_mapped, path)
    beside = [] if "://" in out else sorted(Path(out).absolute().parent.iterdir())
    for path in (*sorted(work.rglob("*")), *beside):
        if path.is_file():
            yield str(path), partial(_mapped, path)


@contextlib.contextmanager
def _held(files: Files, key: str) -> Iterator[bytes]:
    yield files.read(key)


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[bytes | mmap.mmap]:
    with path.open("rb") as file:
        if not path.stat().st_size:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data
