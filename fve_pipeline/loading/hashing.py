"""Randomness by counting: a number is a function of what it is for, never of what was drawn before it."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Stream", "generator", "mix", "uniform"]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


class Stream(IntEnum):
    """What a number is for. Two streams are independent; adding one changes no other."""

    SLAB = 1
    WINDOW = 2
    CYCLE = 3
    QUOTA = 4
    CLASS = 5
    PROMPT = 6
    AUGMENT = 7
    NOISE = 8
    FINDING = 9


def mix(stream: Stream, *parts: ArrayLike) -> NDArray[np.uint64]:
    """Hash integers, element by element after broadcasting, to 64 random bits (splitmix64's finaliser)."""
    state = np.asarray(int(stream), np.uint64)
    with np.errstate(over="ignore"):  # wrapping is what a hash does
        for part in parts:
            state = _finalise(state * _STEP ^ np.asarray(part).astype(np.uint64))
        return _finalise(state + _STEP)


def uniform(stream: Stream, *parts: ArrayLike) -> NDArray[np.float64]:
    """Return the hash as numbers in [0, 1)."""
    return (mix(stream, *parts) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def generator(stream: Stream, *parts: int) -> np.random.Generator:
    """Return a generator for many numbers at once, keyed by the hash of ``parts``."""
    return np.random.Generator(np.random.Philox(key=int(mix(stream, *parts))))


def _finalise(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * _FIRST
    x = (x ^ (x >> np.uint64(27))) * _SECOND
    return x ^ (x >> np.uint64(31))
