"""Local hashes: each plane of a fingerprint as a few words of bits that a disguise mostly leaves alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.duplicates.fingerprint import SIDE

__all__ = ["BANDS", "FLIPS", "PROBES", "plane_hashes", "probes"]

BANDS = 4
_BITS = 28
# Rows backwards, columns backwards.
FLIPS = ((False, False), (False, True), (True, False), (True, True))
PROBES = 5
_LEAST = 0.25  # share of cells with structure that a plane needs to be told from others


@lru_cache(maxsize=1)
def _basis() -> tuple[NDArray[np.float32], NDArray[np.int8], NDArray[np.int8]]:
    """(cosines (terms, cells), and the sign of each term when rows or columns are turned round)."""
    wave = np.cos(np.pi * np.outer(np.arange(SIDE), np.arange(SIDE) + 0.5) / SIDE)
    pairs = [(u, v) for u in range(1, 16) for v in range(1, 16) if 4 <= u + v <= 19]
    # Coarse terms first, which noise and resampling change least, dealt out so that each band has some of all.
    pairs.sort(key=lambda uv: (uv[0] ** 2 + uv[1] ** 2, uv))
    pairs = pairs[: BANDS * _BITS]
    terms = np.stack([np.outer(wave[u], wave[v]).ravel() for u, v in pairs])
    signs = np.array([[(-1) ** u, (-1) ** v] for u, v in pairs], np.int8)
    return terms.astype(np.float32), signs[:, 0], signs[:, 1]


def plane_hashes(planes: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the terms (planes, terms) that bits are the signs of, and which planes have enough structure, (planes,)."""
    values = planes.reshape(len(planes), -1).astype(np.float32) - 128
    terms = values @ _basis()[0].T
    return terms, (np.abs(values) > 12).mean(axis=1) > _LEAST


def probes(terms: NDArray[np.float32], flip: tuple[bool, bool], count: int) -> NDArray[np.uint32]:
    """Return the words of planes as they are after ``flip``: (planes, bands, count) uint32.

    The first is the plane's own; in each other one the sign of one term is changed, the weakest first.
    """
    _, rows, columns = _basis()
    signs = (rows if flip[0] else np.ones_like(rows)) * (columns if flip[1] else np.ones_like(columns))
    turned = (terms * signs).reshape(len(terms), _BITS, BANDS).transpose(0, 2, 1)
    weights = np.uint32(1) << np.arange(_BITS, dtype=np.uint32)
    words = np.where(turned > 0, weights, np.uint32(0)).sum(axis=2, dtype=np.uint32)
    out = np.repeat(words[..., None], count, axis=2)
    if count > 1:
        weakest = np.argsort(np.abs(turned), axis=2, kind="stable")[..., : count - 1]
        out[..., 1:] ^= weights[weakest]
    return out
