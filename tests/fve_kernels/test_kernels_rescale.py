"""The one-pass kernel against numpy, and against whole-number arithmetic where rounding is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fve_kernels.cpu_rescale import rescale
from fve_kernels.geometry import KernelInputError

INT16 = np.arange(-(2**15), 2**15).astype(np.int16)


def rounded(array: NDArray[Any], lower: float, upper: float, real: type) -> NDArray[np.uint8]:
    """The formula in numpy, step by step in the precision given."""
    low, high = real(lower), real(upper)
    clipped = np.clip(array.astype(real), low, high)
    return np.floor((clipped - low) * real(255) / (high - low) + real(0.5)).astype(np.uint8)


@pytest.mark.parametrize(("width", "level"), [(400, 40), (1500, -160), (1500, -600), (80, 40), (1800, 400)])
def test_every_int16_rounds_half_up_exactly(width: int, level: int) -> None:
    lower, upper = level - width // 2, level + width // 2
    clipped = np.clip(INT16.astype(np.int64), lower, upper)
    exact = ((clipped - lower) * 255 * 2 + width) // (2 * width)
    np.testing.assert_array_equal(rescale(INT16, lower, upper, lower, upper), exact)


@settings(deadline=None)  # the first example may compile
@given(st.integers(-30000, 30000), st.integers(1, 30000))
def test_any_whole_window_is_exact_for_int16(lower: int, width: int) -> None:
    exact = ((np.clip(INT16.astype(np.int64), lower, lower + width) - lower) * 510 + width) // (2 * width)
    np.testing.assert_array_equal(rescale(INT16, lower, lower + width, lower, lower + width), exact)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "i8", "f2", "f4", "f8", ">i2", ">f8"])
def test_every_dtype_follows_the_formula(dtype: str) -> None:
    rng = np.random.default_rng(1)
    array = (rng.standard_normal((7, 30, 31)) * 90).astype(np.int16 if dtype[-2] == "i" else np.float64)
    array = np.abs(array).astype(dtype) if dtype[-2] == "u" else array.astype(dtype)
    real = np.float32 if dtype[-2:] in ("u1", "i1", "u2", "i2", "f2", "f4") else np.float64
    expected = rounded(array, -31.7, 64.2, real)
    for threads in (1, 3):
        np.testing.assert_array_equal(rescale(array, -31.7, 64.2, -31.7, 64.2, threads=threads), expected)


@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_truncation_follows_the_script_it_copies(dtype: str) -> None:
    array = (np.random.default_rng(2).standard_normal((5, 40, 41)) * 300).astype(dtype)
    clipped = np.clip(array, -160.0, 240.0)
    expected = np.uint8((clipped - clipped.min()) / (clipped.max() - clipped.min()) * 255.0)
    low, high = float(clipped.min()), float(clipped.max())
    np.testing.assert_array_equal(rescale(array, -160, 240, low, high, truncate=True), expected)


def test_numbers_that_are_not_finite() -> None:
    array = np.array([np.nan, -np.inf, np.inf, 0], np.float32)
    for dtype in (np.float32, np.float64):
        for truncate in (False, True):
            result = rescale(array.astype(dtype), -10, 10, -10, 10, truncate=truncate)
            assert result[:3].tolist() == [0, 0, 255]


def test_layouts_and_a_given_output() -> None:
    array = np.random.default_rng(0).integers(-999, 999, (9, 10, 11)).astype(np.int16)
    out = np.empty((9, 10, 11), np.uint8)
    assert rescale(array, -160, 240, -160, 240, out=out) is out
    np.testing.assert_array_equal(out, rounded(array, -160, 240, np.float64))
    for view in (array.T, array[::-1, :, ::-1], array[::2, :, 1::3], np.asfortranarray(array)):
        np.testing.assert_array_equal(
            rescale(view, -160, 240, -160, 240), rounded(view, -160, 240, np.float64)
        )
    for wrong in (out[:5], out.astype(np.int8), np.empty((9, 10, 22), np.uint8)[:, :, ::2]):
        with pytest.raises(KernelInputError, match="expected C-contiguous uint8"):
            rescale(array, 0, 1, 0, 1, out=wrong)
