"""A scan is known again in its disguises, and another scan is not taken for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from fve_kernels.cpu_alignment import best_path
from fve_pipeline.duplicates import Fingerprinter, compare, find_duplicates, fingerprint, groups_of
from fve_pipeline.duplicates.hashes import BANDS, FLIPS, plane_hashes, probes

SPACING = (3.0, 2.0, 2.0)


def scan(seed: int, shape: tuple[int, int, int] = (40, 96, 80)) -> NDArray[np.uint8]:
    """One anatomy, coarse, that all share, and what is each subject's own."""
    coarse = ndimage.gaussian_filter(np.random.default_rng(99).normal(size=shape), 9)
    own = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), (1.5, 3, 3))
    field = coarse / coarse.std() + own / own.std()
    return np.clip(field * 40 + 128, 0, 255).astype(np.uint8)


def windowed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.clip((image.astype(float) - 60) * 1.8, 0, 255).astype(np.uint8)


DISGUISES: dict[str, tuple[Callable[[NDArray[np.uint8]], NDArray[Any]], tuple[float, float, float], str]] = {
    "crop": (lambda image: image[11:30], SPACING, ""),
    "flip": (lambda image: image[::-1, :, ::-1], SPACING, "zx"),
    "window": (windowed, SPACING, ""),
    "rounding": (lambda image: image // 16 * 16, SPACING, ""),
    "every second slice": (lambda image: image[::2], (6.0, 2.0, 2.0), ""),
    "other spacing": (
        lambda image: ndimage.zoom(
            image.astype(float), (1, 0.7, 0.7), order=1, grid_mode=True, mode="nearest"
        ),
        (3.0, 2 / 0.7, 2 / 0.7),
        "",
    ),
    "slices removed": (lambda image: np.delete(image, [5, 13, 22, 31], axis=0), SPACING, ""),
    "crop, flip, window": (lambda image: windowed(image)[8:33, ::-1], SPACING, "y"),
}


@pytest.mark.parametrize("name", DISGUISES)
def test_a_scan_is_known_in_its_disguises(name: str) -> None:
    change, spacing, flipped = DISGUISES[name]
    for seed in (1, 2):
        image = scan(seed)
        disguised = np.clip(np.rint(change(image)), 0, 255).astype(np.uint8)
        like = compare(fingerprint(image, SPACING), fingerprint(disguised, spacing))
        assert like.same, like
        assert like.flipped == flipped


def test_a_crop_is_laid_where_it_was_taken() -> None:
    image = scan(3)
    whole, part = fingerprint(image, SPACING), fingerprint(image[10:30], SPACING)
    like = compare(whole, part)
    step = len(image) / len(whole)
    assert abs(like.first[0] * step - 10) <= 2
    assert abs(like.first[1] * step - 29) <= 2
    assert like.second == (0, len(part) - 1)


def test_others_of_one_anatomy_are_not_taken_for_one_scan() -> None:
    prints = [fingerprint(scan(seed), SPACING) for seed in range(6)]
    scores = [compare(a, b) for i, a in enumerate(prints) for b in prints[:i]]
    assert not any(like.same for like in scores)


def test_a_follow_up_is_another_scan() -> None:
    """The same subject, bent by a few millimetres and lying a little otherwise."""
    image = scan(4)
    rng = np.random.default_rng(0)
    at = np.indices(image.shape).astype(float)
    for axis in range(3):
        bend = ndimage.zoom(rng.normal(size=(4, 4, 4)), np.array(image.shape) / 4, order=3)
        at[axis] += 1.5 * bend / bend.std() + 1
    later = ndimage.map_coordinates(image.astype(float), at, order=1, mode="nearest")
    like = compare(fingerprint(image, SPACING), fingerprint(later.astype(np.uint8), SPACING))
    assert not like.same


def test_nothing_to_see_is_nothing_to_compare() -> None:
    blank = fingerprint(np.zeros((10, 40, 40), np.uint8), SPACING)
    assert not compare(blank, blank).same
    assert not find_duplicates(2, [blank, blank].__getitem__)


@given(
    depth=st.integers(1, 40),
    side=st.integers(2, 300),
    z=st.floats(0.1, 12),
    x=st.floats(0.1, 4),
)
def test_planes_name_slices_that_there_are(depth: int, side: int, z: float, x: float) -> None:
    maker = Fingerprinter((depth, side, side), (z, x, x))
    assert set(maker.needed) <= set(range(depth))
    assert maker.needed
    assert maker.middle(0) in range(depth)


def test_duplicates_are_found_among_many_and_make_groups() -> None:
    images = [scan(seed) for seed in range(5)]
    images += [images[1][12:34], images[3][:, :, ::-1], windowed(images[1])]
    prints = [fingerprint(image, SPACING) for image in images]
    found = find_duplicates(len(prints), prints.__getitem__)
    assert groups_of(len(prints), ((one.first, one.second) for one in found)) == [[1, 5, 7], [3, 6]]
    assert find_duplicates(0, prints.__getitem__) == []


def test_words_of_a_flipped_plane_are_the_flips_words() -> None:
    planes = fingerprint(scan(5), SPACING)
    terms, visible = plane_hashes(planes)
    assert visible.all()
    for rows, columns in FLIPS:
        turned = planes[:, :: -1 if rows else 1, :: -1 if columns else 1]
        words = probes(plane_hashes(turned)[0], (False, False), 1)
        same = words == probes(terms, (rows, columns), 1)
        assert same.shape == (len(planes), BANDS, 1)
        assert same.mean() > 0.95  # a term that is nearly 0 may round to either side


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12))
def test_the_path_is_that_of_the_plain_loops(seed: int, n: int, m: int) -> None:
    table = np.random.default_rng(seed).uniform(-0.2, 1, (n, m)).astype(np.float32)
    a, b, c, d, pairs, total = best_path(table, 0.5, 0.1)
    assert (a, b, c, d, pairs) == best_path.py_func(table, 0.5, 0.1)[:5]
    assert a <= c < n
    assert b <= d < m
    assert pairs <= min(n, m)
    assert total <= pairs


def test_the_path_follows_what_matches() -> None:
    table = np.zeros((6, 8), np.float32)
    for i in range(4):
        table[i + 1, i + 3] = 0.9
    assert best_path(table, 0.5, 0.1)[:5] == (1, 3, 4, 6, 4)
    assert best_path(np.zeros((3, 3), np.float32), 0.5, 0.1)[4] == 0
