"""Interpolated rows, and channels taken apart and exchanged, against numpy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fve_kernels.cpu_rows import interpolate_rows, split_channels, swap_context

shapes = st.tuples(st.integers(1, 40), st.integers(1, 150))


@settings(deadline=None, max_examples=60)
@given(shapes, st.floats(0.5, 2), st.floats(-30, 30), st.integers(0, 2**32))
def test_rows_are_interpolated_linearly(
    shape: tuple[int, int], scale: float, shift: float, seed: int
) -> None:
    plane = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    places = scale * np.arange(shape[0] + 3) + shift
    padded = np.pad(plane.astype(float), ((1, 1), (0, 0)))  # 0 beyond the ends, from one row on
    lines = np.arange(-1, shape[0] + 1)
    expected = np.stack([np.interp(places, lines, column, 0, 0) for column in padded.T], axis=1)
    # Weights of 1/256 are off by half of that, on up to 255 levels; rounding by a half.
    assert np.abs(interpolate_rows(plane, places) - expected).max() <= 0.5 + 255 / 512 + 1e-9


def test_whole_places_pick_rows() -> None:
    plane = np.random.default_rng(0).integers(0, 256, (9, 7), np.uint8)
    found = interpolate_rows(plane, np.array([8.0, 0.0, -1.0, 9.0, 3.0]))
    nothing = np.zeros(7, np.uint8)
    assert np.array_equal(found, np.stack([plane[8], plane[0], nothing, nothing, plane[3]]))


@settings(deadline=None, max_examples=30)
@given(shapes, st.integers(0, 2**32))
def test_channels_are_split_and_exchanged(shape: tuple[int, int], seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
    assert np.array_equal(split_channels(image), np.moveaxis(image, 2, 0))
    exchanged = image.copy()
    swap_context(exchanged)
    assert np.array_equal(exchanged, image[..., [0, 2, 1]])
