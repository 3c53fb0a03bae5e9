"""The content id: what is in a store, whatever its form, codec and history of builds.

Each row has a digest of who it is (its plan row) and of its decoded pixels: the focal slice and the mask.
The digests are chained, c' = sha256(c || d), from a fixed start, so the id is a function of the rows in their
order alone; appending goes on from the id before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["EMPTY_CONTENT", "chain", "packed", "row_digest", "unpacked"]

EMPTY_CONTENT = hashlib.sha256(b"fve content, version 1").hexdigest()


def row_digest(identity: Sequence[str | int], focal: np.ndarray, mask: np.ndarray) -> str:
    """Return the digest (hex) of one row.

    Parameters
    ----------
    identity
        (case, rendition, view, slice), and the digest of the case's findings where it has any.
    focal
        (S, S) uint8: the slice itself, channel 0 of an encoded image.
    mask
        (S, S) in the store's dtype of masks, hashed little-endian.
    """
    digest = hashlib.sha256(json.dumps(list(identity), ensure_ascii=False, separators=(",", ":")).encode())
    digest.update(np.ascontiguousarray(focal).data)
    digest.update(np.ascontiguousarray(mask, mask.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def chain(previous: str, row_digests: Iterable[str]) -> str:
    """Return the content id (hex) after rows with these digests follow the rows of ``previous``."""
    state = bytes.fromhex(previous)
    for digest in row_digests:
        state = hashlib.sha256(state + bytes.fromhex(digest)).digest()
    return state.hex()


def packed(row_digests: Iterable[str]) -> bytes:
    """Return digests as 32 bytes each."""
    return bytes.fromhex("".join(row_digests))


def unpacked(digests: bytes) -> list[str]:
    """Return what :func:`packed` was given."""
    text = digests.hex()
    return [text[start : start + 64] for start in range(0, len(text), 64)]
