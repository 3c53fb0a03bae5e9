"""Percentiles against numpy's, for every dtype and layout."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from fve_kernels.cpu_percentiles import percentiles
from fve_kernels.geometry import KernelInputError

Q = (0, 0.5, 5, 25, 50, 75, 95, 99.5, 100)

DTYPES = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8", "?", ">i2", ">f4"])


def finite_arrays(dtype: str) -> st.SearchStrategy[NDArray[np.generic]]:
    elements = None
    if np.dtype(dtype).kind == "f":
        width = 8 * np.dtype(dtype).itemsize
        # numpy's own interpolation overflows between numbers near the end of the range.
        elements = st.floats(-1e4, 1e4, allow_nan=False, width=width)  # type: ignore[call-overload]
    shapes = hnp.array_shapes(min_dims=1, max_dims=3, max_side=12)
    return hnp.arrays(np.dtype(dtype), shapes, elements=elements)


@settings(deadline=None)  # the first example may compile
@given(DTYPES.flatmap(finite_arrays), st.lists(st.floats(0, 100), min_size=1, max_size=4))
def test_equal_numpy(array: NDArray[np.generic], q: list[float]) -> None:
    wide = array.astype(np.float64)
    np.testing.assert_array_equal(percentiles(array, q), np.percentile(wide, q))
    positive = wide[wide > 0]
    expected = np.percentile(positive, q) if positive.size else np.full(len(q), np.nan)
    np.testing.assert_array_equal(percentiles(array, q, positive=True), expected)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "i8", "f4", "f8"])
def test_large_arrays_and_threads(dtype: str) -> None:
    rng = np.random.default_rng(3)
    if np.dtype(dtype).kind == "f":
        array = (rng.standard_normal(100_003) * 300).astype(dtype)
    else:
        info = np.iinfo(dtype)
        low, high = max(info.min, -(2**45)), min(info.max, 2**45)
        array = rng.integers(low, high, 100_003, dtype=np.int64, endpoint=True).astype(dtype)
    array[::3] = 0
    for threads in (1, 3):
        expected = np.percentile(array.astype(np.float64), Q)
        np.testing.assert_array_equal(percentiles(array, Q, threads=threads), expected)
        expected = np.percentile(array[array > 0].astype(np.float64), Q)
        np.testing.assert_array_equal(percentiles(array, Q, positive=True, threads=threads), expected)


def test_layouts_that_are_not_contiguous() -> None:
    array = np.random.default_rng(0).integers(-999, 999, (9, 10, 11)).astype(np.int16)
    views = (array.T, array[::-1, :, ::-1], array[::2, :, 1::3], array.transpose(1, 2, 0)[:, ::-1])
    for view in views:
        view.flags.writeable = False
        np.testing.assert_array_equal(percentiles(view, Q), np.percentile(view, Q))


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("positive", [False, True])
def test_numbers_that_are_not_finite_are_refused(value: float, dtype: str, positive: bool) -> None:
    array = np.ones(100, dtype)
    array[[5, 50]] = value
    with pytest.raises(KernelInputError, match="2 voxels are NaN or infinite"):
        percentiles(array, Q, positive=positive)


def test_other_voxels_are_refused() -> None:
    for array in (np.ones(3, np.complex64), np.array(["a"]), np.ones(3, "M8[s]")):
        with pytest.raises(KernelInputError, match="expected integers or floating-point"):
            percentiles(array, Q)
