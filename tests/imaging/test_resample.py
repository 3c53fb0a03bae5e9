"""Padding, resizing, and the exact way back."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fve_pipeline.imaging.resample import Fit, ResizeMethod

sides = st.integers(1, 130)
sizes = st.integers(1, 200)
methods = st.sampled_from(["opencv", "released"])
dtypes = st.sampled_from([np.uint8, np.uint16])


def labels(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@settings(deadline=None)
@given(sides, sides, st.integers(0, 150), methods, dtypes)
def test_masks_come_back_when_nothing_was_dropped(
    height: int, width: int, more: int, method: ResizeMethod, dtype: Any
) -> None:
    fit = Fit((height, width), max(height, width) + more, method)
    mask = labels((2, height, width), dtype)
    assert np.array_equal(fit.restore_masks(fit.masks(mask)), mask)


@settings(deadline=None)
@given(sides, st.integers(0, 100), methods, dtypes)
def test_smaller_masks_survive_the_way_back_and_forth(
    size: int, more: int, method: ResizeMethod, dtype: Any
) -> None:
    fit = Fit((size + more, size + more), size, method)
    mask = labels((1, size, size), dtype)
    assert np.array_equal(fit.masks(fit.restore_masks(mask)), mask)


@settings(deadline=None)
@given(sides, sides, sizes, methods)
def test_shapes_types_and_ids(height: int, width: int, size: int, method: ResizeMethod) -> None:
    fit = Fit((height, width), size, method)
    mask = labels((1, height, width), np.uint16)
    small = fit.masks(mask)
    assert small.shape == (1, size, size)
    assert small.dtype == np.uint16
    assert set(np.unique(small)) <= {0, *np.unique(mask)}
    assert fit.restore_masks(small).shape == mask.shape


@pytest.mark.parametrize(
    ("shape", "method", "padded", "offset"),
    [
        ((5, 8), "opencv", (8, 8), (0, 0)),
        ((8, 5), "opencv", (8, 8), (0, 0)),
        ((4, 8), "released", (8, 8), (2, 0)),
        ((8, 5), "released", (8, 7), (0, 1)),
        ((5, 8), "released", (7, 8), (1, 0)),
    ],
)
def test_padding(
    shape: tuple[int, int], method: ResizeMethod, padded: tuple[int, int], offset: tuple[int, int]
) -> None:
    fit = Fit(shape, 64, method)
    assert fit.padded == padded
    assert fit.offset == offset


@pytest.mark.parametrize("method", ["opencv", "released"])
@pytest.mark.parametrize("shape", [(60, 40), (40, 61), (50, 50)])
@pytest.mark.parametrize("size", [32, 64, 96])
def test_each_step_is_the_one_named(method: ResizeMethod, shape: tuple[int, int], size: int) -> None:
    fit = Fit(shape, size, method)
    image, mask = labels((3, *shape), np.uint8), labels((3, *shape), np.uint16, seed=1)
    (top, left), (rows, columns) = fit.offset, fit.padded
    around = ((top, rows - top - shape[0]), (left, columns - left - shape[1]))
    nearest = cv2.INTER_NEAREST_EXACT if method == "opencv" else cv2.INTER_NEAREST
    for i in range(3):
        wide, wide_mask = np.pad(image[i], around), np.pad(mask[i], around)
        assert np.array_equal(
            fit.images(image)[i], cv2.resize(wide, (size, size), interpolation=cv2.INTER_CUBIC)
        )
        assert np.array_equal(fit.masks(mask)[i], cv2.resize(wide_mask, (size, size), interpolation=nearest))


def test_slices_that_fit_are_not_touched() -> None:
    slices = labels((2, 32, 32), np.uint8)
    assert Fit((32, 32), 32).images(slices) is slices
    out = np.empty_like(slices)
    assert Fit((32, 32), 32).images(slices, out) is out
    assert np.array_equal(out, slices)


@pytest.mark.parametrize("method", ["opencv", "released"])
def test_slices_of_the_padded_side_are_only_padded(method: ResizeMethod) -> None:
    slices = labels((2, 20, 32), np.uint8)
    fit = Fit((20, 32), 32, method)
    top = fit.offset[0]
    padded = fit.images(slices)
    assert np.array_equal(padded[:, top : top + 20], slices)
    assert padded.sum() == slices.sum()


def test_out_is_written_in_place() -> None:
    slices = labels((2, 20, 32), np.uint8)
    fit = Fit((20, 32), 48)
    out = np.full((2, 48, 48), 7, np.uint8)
    assert fit.images(slices, out) is out
    assert np.array_equal(out, fit.images(slices))


def test_views_need_not_be_contiguous() -> None:
    volume = labels((12, 20, 9), np.uint8)
    slices = np.moveaxis(volume, 1, 0)
    fit = Fit((12, 9), 40)
    assert np.array_equal(fit.images(slices), fit.images(np.ascontiguousarray(slices)))


def test_what_does_not_fit_is_refused() -> None:
    slices = labels((1, 20, 32), np.uint8)
    with pytest.raises(ValueError, match=r"\(20, 32\).*\(20, 30\)"):
        Fit((20, 30), 48).images(slices)
    with pytest.raises(ValueError, match="uint16"):
        Fit((20, 32), 48).images(slices, np.empty((1, 48, 48), np.uint16))


@pytest.mark.parametrize("method", ["opencv", "released"])
@pytest.mark.parametrize("size", [48, 64, 160])
def test_images_come_back_where_they_were(method: ResizeMethod, size: int) -> None:
    y, x = np.indices((40, 64))
    smooth = (127 + 60 * np.sin(y / 6) + 60 * np.cos(x / 7)).astype(np.uint8)[None]
    fit = Fit((40, 64), size, method)
    back = fit.restore_images(fit.images(smooth))
    assert back.shape == smooth.shape
    assert np.abs(back.astype(int) - smooth).mean() < 2
    if size == 64:
        assert np.array_equal(back, smooth)
