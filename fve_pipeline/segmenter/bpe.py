"""CLIP's byte-pair encoding: a text to token ids, as the released model's tokenizer gives them.

Text is mended as ftfy mends it (mis-decoded characters, HTML entities, ligatures, curly quotes, accents composed),
its white space run together, and lower-cased; words are then merged byte pair by byte pair.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib.resources import files
from itertools import pairwise

import ftfy
import regex

__all__ = ["BEGIN", "END", "encode"]

BEGIN, END = 49406, 49407

_SPECIAL = {"<|startoftext|>": BEGIN, "<|endoftext|>": END}
_WORDS = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+",
    regex.IGNORECASE,
)
_LAST = "</w>"


def encode(text: str) -> list[int]:
    """Return the token ids of a text, without BEGIN and END around them."""
    clean = " ".join(ftfy.fix_text(text).split()).lower()
    return [token for word in _WORDS.findall(clean) for token in _word(word)]


@cache
def _word(word: str) -> tuple[int, ...]:
    if word in _SPECIAL:
        return (_SPECIAL[word],)
    letters, ranks, ids = _letters(), _ranks(), _ids()
    parts = [letters[byte] for byte in word.encode()]
    parts[-1] += _LAST
    while len(parts) > 1:
        pairs = set(pairwise(parts))
        first = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if first not in ranks:
            break
        parts = _merged(parts, first)
    return tuple(ids[part] for part in parts)


def _merged(parts: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    place = 0
    while place < len(parts):
        if tuple(parts[place : place + 2]) == pair:
            merged.append(pair[0] + pair[1])
            place += 2
        else:
            merged.append(parts[place])
            place += 1
    return merged


@cache
def _letters() -> dict[int, str]:
    """Return a visible character for every byte: itself where it has one, else one from 256 on."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + n) for n, byte in enumerate(hidden)}


@cache
def _ranks() -> dict[tuple[str, str], int]:
    packed = files("fve_pipeline.segmenter").joinpath("vocabulary/clip_merges.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode().splitlines()
    return {(first, second): rank for rank, (first, second) in enumerate(line.split(" ") for line in lines)}


@cache
def _ids() -> dict[str, int]:
    letters = list(_letters().values())
    tokens = [*letters, *(letter + _LAST for letter in letters), *(a + b for a, b in _ranks())]
    return {token: number for number, token in enumerate(tokens)}
