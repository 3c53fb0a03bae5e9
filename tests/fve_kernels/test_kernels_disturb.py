"""Brightness, noise, salt and pepper: the numbers of the stated recipe, and noise that is noise."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from fve_kernels.cpu_disturb import BLOCK, disturb

SIDE = 256
FAR = np.uint64(0x0123456789ABCDEF)


def keys(count: int, seed: int = 0) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, count, np.uint64)


def hashed(key: np.uint64, count: int) -> NDArray[np.uint64]:
    """splitmix64 in numpy: what the kernel's documentation promises."""
    x = key + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def expected_normals(key: np.uint64, size: int) -> NDArray[np.float64]:
    """Box and Muller's transform in float64: the first half of the pixels by sines, the others by cosines."""
    bits = hashed(key, (size + 1) // 2)
    high, low = bits >> np.uint64(32), bits & np.uint64(0xFFFFFFFF)
    radius = np.sqrt(-2 * np.log(((high >> np.uint64(8)) + np.uint64(1)).astype(float) * 2.0**-24))
    angle = ((low & np.uint64(0xFFFFFF)).astype(float) + 0.5) * 2.0**-24 * np.pi / 2
    signs = [np.where(low & np.uint64(1 << bit), 1.0, -1.0) for bit in (24, 25)]
    return np.concatenate([signs[0] * radius * np.sin(angle), signs[1] * radius * np.cos(angle)])[:size]


def noise_of(n: int, seed: int, deviation: float = 20.0, side: int = SIDE) -> NDArray[np.float64]:
    """Noise of n slices, in deviations; grey 128 leaves room for six of them."""
    slices = np.full((n, side, side), 128, np.uint8)
    disturb(slices, 0.0, deviation, 0.0, keys(n + 1, seed))
    return (slices.astype(float) - 128) / deviation


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 3),
    st.sampled_from([(1, 1), (3, 5), (64, 64), (1, 2 * BLOCK + 1), (70, 61)]),
    st.floats(-26, 26),
    st.sampled_from([0.0, 3.0, 24.9]),
    st.sampled_from([0.0, 0.02, 0.1, 0.5]),
    st.integers(0, 2**32),
)
def test_values_are_those_of_the_recipe(
    n: int, shape: tuple[int, int], brightness: float, deviation: float, pepper: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    slices = rng.integers(0, 256, (n, *shape), np.uint8)
    names = keys(n + 1, seed)
    size = shape[0] * shape[1]
    exact = slices.reshape(n, -1) + brightness
    if deviation:
        exact = exact + deviation * np.stack([expected_normals(key, size) for key in names[1:]])
    bits = hashed(names[0], (size + 1) // 2)
    share = np.concatenate([bits >> np.uint64(32), bits & np.uint64(0xFFFFFFFF)])[:size] / 2.0**32
    black, white = share < pepper / 2, (share >= pepper / 2) & (share < pepper)
    disturb(slices, brightness, deviation, pepper, names)
    found = slices.reshape(n, -1)
    assert (found[:, black] == 0).all()
    assert (found[:, white] == 255).all()
    rest = ~(black | white)
    # Rounded half up; where float32 and float64 see different sides of a half, either will do.
    assert np.abs(found[:, rest] - np.clip(exact, 0, 255)[:, rest]).max(initial=0) <= 0.5 + 2e-3


def test_noise_is_standard_normal() -> None:
    noise = noise_of(16, 1).reshape(-1)
    n = noise.size
    assert abs(noise.mean()) < 4 / np.sqrt(n)
    # Rounding to whole greys adds a twelfth of a grey's square.
    assert noise.var() == pytest.approx(1 + 1 / 12 / 20**2, abs=4 * np.sqrt(2 / n))
    assert abs((noise**3).mean()) < 4 * np.sqrt(15 / n)
    assert (noise**4).mean() == pytest.approx(3, abs=4 * np.sqrt(96 / n) + 1 / 400)


def test_noise_has_the_tails_of_a_normal_distribution() -> None:
    """Each grey level as often as the distribution says, over 16 slices: chi squared over levels of ten or more."""
    noise = np.rint(20 * noise_of(16, 2)).astype(int).reshape(-1)
    levels = np.arange(-127, 128)
    found = np.bincount(noise + 127, minlength=255)[:255]
    expected = noise.size * (stats.norm.cdf((levels + 0.5) / 20) - stats.norm.cdf((levels - 0.5) / 20))
    common = expected >= 10
    statistic = ((found - expected)[common] ** 2 / expected[common]).sum()
    assert statistic < stats.chi2.ppf(1 - 1e-5, common.sum())
    assert np.abs(noise).max() > 4 * 20


def test_noise_of_slices_pixels_and_keys_is_independent() -> None:
    first, second = noise_of(3, 3), noise_of(3, 4)
    n = first[0].size
    flat, half = first[0].reshape(-1), first[0].size // 2
    pairs = {
        "slices": (first[0], first[1]),
        "the next slice but one": (first[0], first[2]),
        "samples": (first[0], second[0]),
        "neighbours in a row": (first[0][:, 1:], first[0][:, :-1]),
        "neighbours in a column": (first[0][1:], first[0][:-1]),
        "the two of one hash": (flat[:half], flat[half:]),
        "neighbouring keys": tuple(neighbouring_keys()),
    }
    for what, (a, b) in pairs.items():
        for power in (1, 2):  # squares too: signs alone may hide that two share a radius
            r = np.corrcoef(a.reshape(-1) ** power, b.reshape(-1) ** power)[0, 1]
            assert abs(r) < 5 / np.sqrt(min(n, a.size)), what


def neighbouring_keys() -> list[NDArray[np.float64]]:
    slices = np.full((2, SIDE, SIDE), 128, np.uint8)
    disturb(slices, 0.0, 20.0, 0.0, np.array([0, FAR, FAR + np.uint64(1)], np.uint64))
    return [(plane - 128.0) / 20 for plane in slices]


def test_bytes_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(0)
    inputs = [rng.integers(0, 256, (3, 96, 96), np.uint8) for _ in range(16)]

    def changed(i: int) -> bytes:
        slices = inputs[i].copy()
        disturb(slices, 3.3, 17.0, 0.05, keys(4, i))
        return slices.tobytes()

    alone = [changed(i) for i in range(16)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(changed, reversed(range(16)))) == alone[::-1]


def test_a_slice_does_not_depend_on_the_slices_beside_it() -> None:
    names = keys(4)
    three = np.full((3, 64, 64), 90, np.uint8)
    disturb(three, 1.0, 9.0, 0.1, names)
    last = np.full((1, 64, 64), 90, np.uint8)
    disturb(last, 1.0, 9.0, 0.1, names[[0, 3]])
    assert np.array_equal(last[0], three[2])


def test_bytes_are_what_they_were() -> None:
    """The recipe's numbers are part of what a run's seed stands for."""
    slices = np.arange(8, dtype=np.uint8).repeat(8).reshape(1, 8, 8) * np.uint8(30)
    disturb(slices, 2.5, 10.0, 0.1, np.array([1, 2], np.uint64))
    assert slices[0, 3].tolist() == [89, 0, 103, 88, 0, 80, 88, 82]
