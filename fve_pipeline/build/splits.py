"""Which split a subject belongs to: by hash, so that it never depends on the other subjects."""

from __future__ import annotations

import hashlib

__all__ = ["split_of"]


def split_of(subject: str, seed: int, val_fraction: float, test_fraction: float) -> str:
    """Return "train", "val" or "test" for a subject: hash(subject, seed) against the fractions.

    All cases of one subject share a split, in every dataset that names the subject alike, and adding
    subjects moves none of the others.

    >>> sorted({split_of(f"patient {i}", 0, 0.2, 0.2) for i in range(50)})
    ['test', 'train', 'val']
    """
    digest = hashlib.sha256(f"{seed}\0{subject}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < val_fraction:
        return "val"
    if position < val_fraction + test_fraction:
        return "test"
    return "train"
