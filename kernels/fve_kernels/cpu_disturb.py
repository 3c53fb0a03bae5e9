"""Brightness, Gaussian noise, salt and pepper on slices, by numbers that are counted and not drawn.

Number j of a stream is a hash of (key, j): splitmix64, whose state after j steps is key + j·0x9E3779B97F4A7C15.
So a pixel's noise depends on its key and place alone, whatever thread computes it and in which order. Everything is
integers and single additions, multiplications, divisions and square roots of float32, which every processor rounds
alike; the polynomials stand for functions of a mathematical library, which are not.
"""

from __future__ import annotations

import numba
import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from fve_kernels.compiling import compile_kernel

__all__ = ["disturb", "normal_pair"]

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Keys = NDArray[np.uint64]

BLOCK = 2048  # pixels of each half: two blocks of float32 stay in the L1 cache

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)

# ln(1 + f) / f for f in [0, 1], and sin(πx/2) / x over x² for x in [0, 1]: fitted at Chebyshev's nodes, errors of 1e-6.
_L0, _L1, _L2, _L3 = map(np.float32, (0.99999875, -0.4998719, 0.33112052, -0.23514864))
_L4, _L5, _L6 = map(np.float32, (0.14943458, -0.06658805, 0.014202826))
_S0, _S1, _S2, _S3 = map(np.float32, (1.5707952, -0.6459258, 0.079500325, -0.0043708002))
_LN2 = np.float32(np.log(2))
_ZERO, _HALF, _ONE, _TWO, _WHITE = map(np.float32, (0, 0.5, 1, 2, 255))
_UNIT = np.float32(2**-24)


@register_jitable(inline="always")
def _hash(key: np.uint64, number: int) -> np.uint64:
    """Number ``number`` of the stream ``key``: 64 random bits."""
    x = key + np.uint64(number + 1) * _STEP
    x = (x ^ (x >> _S30)) * _FIRST
    x = (x ^ (x >> _S27)) * _SECOND
    return x ^ (x >> _S31)


@register_jitable(inline="always")
def _quarter_sine(x: np.float32) -> np.float32:
    y = x * x
    return x * (((_S3 * y + _S2) * y + _S1) * y + _S0)


@register_jitable(inline="always")
def normal_pair(bits: np.uint64) -> tuple[np.float32, np.float32]:
    """Two independent standard normal numbers of 64 random bits: Box and Muller's transform."""
    high, low = np.int32(bits >> _S32), np.int32(bits & _LOW)
    # A radius of the upper 24 bits; an angle within a quarter turn of the lower 24, and its quarter of the next 2.
    whole = np.float32(((high >> 8) & 0xFFFFFF) + 1)
    pattern = whole.view(np.int32)
    exponent = np.float32((pattern >> 23) - 151)
    f = np.int32((pattern & 0x7FFFFF) | 0x3F800000).view(np.float32) - _ONE
    series = (((((_L6 * f + _L5) * f + _L4) * f + _L3) * f + _L2) * f + _L1) * f + _L0
    logarithm = exponent * _LN2 + f * series
    radius = np.sqrt(max(_ZERO, np.float32(-2) * logarithm))
    angle = (np.float32(low & 0xFFFFFF) + _HALF) * _UNIT
    sine, cosine = radius * _quarter_sine(angle), radius * _quarter_sine(_ONE - angle)
    return (sine if low & 0x1000000 else -sine), (cosine if low & 0x2000000 else -cosine)


@register_jitable(inline="always")
def _grey(value: np.float32) -> np.uint8:
    """Round half up and clip to 0–255."""
    return np.uint8(np.int32(min(_WHITE, max(_ZERO, value)) + _HALF))


def _disturb(
    slices: Bytes, brightness: np.float32, deviation: np.float32, pepper: np.int64, keys: Keys
) -> None:
    """As ``disturb``; ``pepper`` counts in 2⁻³², ``keys`` has a stream for salt and pepper, then one a slice."""
    size = slices.shape[1]
    half = (size + 1) // 2
    keep = np.full(2 * half, 255, np.uint8)
    salt = np.zeros(2 * half, np.uint8)
    if pepper:
        key = keys[0]
        for i in range(half):
            bits = _hash(key, i)
            first, second = np.int64(bits >> _S32), np.int64(bits & _LOW)
            # Below the share pepper, below twice the share salt.
            keep[i] = 0 if first < 2 * pepper else 255
            salt[i] = 255 if pepper <= first and first < 2 * pepper else 0
            keep[half + i] = 0 if second < 2 * pepper else 255
            salt[half + i] = 255 if pepper <= second and second < 2 * pepper else 0
    noise = np.empty((2, BLOCK), np.float32)
    for s in range(len(slices)):
        key = keys[1 + s]
        for start in range(0, half, BLOCK):
            n = min(BLOCK, half - start)
            if deviation:
                first, second = noise[0], noise[1]
                for i in range(n):
                    a, b = normal_pair(_hash(key, start + i))
                    first[i] = deviation * a
                    second[i] = deviation * b
            for part in range(2):
                begin = part * half + start
                m = min(n, size - begin)
                line = slices[s, begin : begin + m]
                kept, white, added = keep[begin : begin + m], salt[begin : begin + m], noise[part, :m]
                if deviation:
                    for i in range(m):
                        grey = _grey(np.float32(line[i]) + brightness + added[i])
                        line[i] = (grey & kept[i]) | white[i]
                else:
                    for i in range(m):
                        grey = _grey(np.float32(line[i]) + brightness)
                        line[i] = (grey & kept[i]) | white[i]


_kernel = compile_kernel(
    _disturb,
    numba.void(numba.uint8[:, ::1], numba.float32, numba.float32, numba.int64, numba.uint64[::1]),
)


def disturb(
    slices: NDArray[np.uint8], brightness: float, deviation: float, pepper: float, keys: NDArray[np.uint64]
) -> None:
    """Change slices (n, H, W) uint8 in place: brighter by ``brightness`` grey levels, noisy, salted and peppered.

    ``deviation`` is that of Gaussian noise, in grey levels; ``pepper`` the share of pixels that turn 0 or 255, half of
    them each, the same pixels in all slices. ``keys`` (n + 1,) uint64 name the random numbers: of salt and pepper,
    then of each slice's noise. Values are rounded half up and clipped to 0–255. Releases the interpreter lock.
    """
    rows = slices.reshape(len(slices), -1)
    _kernel(rows, np.float32(brightness), np.float32(deviation), round(pepper / 2 * 2**32), keys)
