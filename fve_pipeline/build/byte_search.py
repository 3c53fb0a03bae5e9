"""A search over every byte of files for words and for pieces of chunks: what was withdrawn is to be nowhere.

Words are looked for in all files, Parquet tables as text too since they are compressed. In files of pixels a short word
turns up by chance, so only long ones are looked for there; a chunk is known by its last bytes, its checksum among them.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["ANCHOR", "Hit", "Needles", "search_bytes", "search_file"]

# Bytes of a chunk's end that it is known by.
ANCHOR = 16
# A word that is shorter is looked for in text alone.
_LONG = 8
_PIECE = 1 << 22
_TEXT = (".json", ".txt", ".csv", ".toml", ".html", ".md", ".yaml", ".yml", ".log", ".svg")


@dataclass(frozen=True, slots=True)
class Needles:
    """``words`` by what they are, such as {"c01": "case"}, and the last bytes of chunks."""

    words: dict[str, str]
    anchors: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that was found in a file: what it is, never the word itself, and at which byte or in which column."""

    file: str
    what: str
    where: str


def search_file(path: Path, needles: Needles) -> list[Hit]:
    """Return what of the needles is in a file of this machine, each kind once a place."""
    if not path.stat().st_size:
        return []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return search_bytes(str(path), data, needles)


def search_bytes(name: str, data: bytes | mmap.mmap, needles: Needles) -> list[Hit]:
    """Return what of the needles is in the bytes of the file ``name``, each kind once a place."""
    hits: list[Hit] = []
    words = {w: what for w, what in needles.words.items() if name.endswith(_TEXT) or len(w) >= _LONG}
    if words:
        for found in _pattern(words).finditer(data):
            hits.append(Hit(name, words[found[1].decode()], f"byte {found.start(1)}"))
    for start in range(0, len(data), _PIECE):
        piece = data[start : start + _PIECE + ANCHOR - 1]
        hits += [Hit(name, "a chunk", f"byte {start + at}") for at in _anchors(piece, needles.anchors)]
    if name.endswith(".parquet") and needles.words:
        hits += _in_table(name, bytes(data), needles.words)
    return list(dict.fromkeys(hits))


def _pattern(words: Collection[str]) -> re.Pattern[bytes]:
    """Match any of the words where it is one, not a part of a longer one."""
    known = b"|".join(re.escape(word.encode()) for word in sorted(words, key=len, reverse=True))
    return re.compile(rb"(?<![A-Za-z0-9])(" + known + rb")(?![A-Za-z0-9])")


def _anchors(piece: bytes, anchors: frozenset[bytes]) -> Iterator[int]:
    """Yield where any of the anchors begins."""
    if not anchors or len(piece) < ANCHOR:
        return
    raw = np.frombuffer(piece, np.uint8)
    pairs = raw[:-1].astype(np.uint16) | raw[1:].astype(np.uint16) << 8
    begins = np.zeros(1 << 16, bool)
    begins[[anchor[0] | anchor[1] << 8 for anchor in anchors]] = True
    candidates = np.flatnonzero(begins[pairs[: len(raw) - ANCHOR + 1]])
    heads = np.array([int.from_bytes(anchor[:8], "little") for anchor in anchors], np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(raw, 8)
    for part in np.array_split(candidates, max(1, len(candidates) // (1 << 16))):
        values = np.ascontiguousarray(windows[part]).view(np.uint64).ravel()
        for at in part[np.isin(values, heads)].tolist():
            if piece[at : at + ANCHOR] in anchors:
                yield at


def _in_table(name: str, data: bytes, words: dict[str, str]) -> Iterator[Hit]:
    """Search what a Parquet file says, and its metadata."""
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError):
        return
    pattern = _pattern(words)
    metadata = b" ".join((table.schema.metadata or {}).values())
    for found in set(pattern.findall(metadata)):
        yield Hit(name, words[found.decode()], "metadata")
    for column_name in table.column_names:
        column = table.column(column_name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        values = column.combine_chunks()
        while pa.types.is_list(values.type):
            values = values.flatten()
        if not pa.types.is_string(values.type):
            continue
        for text in values.unique().to_pylist():
            for found in set(pattern.findall((text or "").encode())):
                yield Hit(name, words[found.decode()], f"column {column_name}")
