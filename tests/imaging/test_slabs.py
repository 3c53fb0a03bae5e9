"""Slabs of a turned volume are the volume, whatever its strides, and facts of slabs are facts of the whole."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from fve_kernels.cpu_statistics import add_labels, label_statistics, no_labels
from fve_pipeline.imaging.intensity import plan_uint8, to_uint8
from fve_pipeline.imaging.slabs import plain_slabs
from fve_pipeline.imaging.statistics import ImageFacts, gradient_energy, quantiles_uint8


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_slabs_of_any_view_make_up_the_converted_volume(order: tuple[int, ...], dtype: type) -> None:
    stored = np.random.default_rng(1).integers(0, 250, (37, 18, 21)).astype(dtype)
    for steps in product((1, -1), repeat=3):
        view = stored.transpose(order)[tuple(slice(None, None, step) for step in steps)]
        convert = plan_uint8(view, modality="CT", window="100/120")
        expected, decision = to_uint8(np.ascontiguousarray(view), modality="CT", window="100/120")
        slabs = [slab.copy() for slab in plain_slabs(view, 16, convert)]
        assert np.array_equal(np.concatenate(slabs), expected)
        assert decision == convert.decision


@pytest.mark.parametrize(("dtype", "plain"), [("u1", "u1"), ("u2", "u2"), ("i8", "u2")])
@pytest.mark.parametrize("slices", [5, 16, 37])
def test_slabs_of_labels_are_the_labels_and_count_as_the_whole(dtype: str, plain: str, slices: int) -> None:
    stored = np.repeat(np.random.default_rng(3).integers(0, 200, (37, 18, 7)), 3, axis=2).astype(dtype)
    for order, steps in product(permutations(range(3)), product((1, -1), repeat=3)):
        view = stored.transpose(order)[tuple(slice(None, None, step) for step in steps)]
        found, first, kept = no_labels(), 0, []
        for slab in plain_slabs(view, slices, dtype=plain):
            add_labels(found, slab, first)
            first += len(slab)
            kept.append(slab.copy())
        whole = np.concatenate(kept)
        assert whole.dtype == plain
        assert np.array_equal(whole, view)
        by_whole = label_statistics(view.astype(np.uint16))
        for name in ("counts", "low", "high", "sums"):
            assert np.array_equal(getattr(found, name), getattr(by_whole, name)), name


def test_percentiles_do_not_depend_on_the_order_of_axes() -> None:
    stored = np.random.default_rng(2).integers(-50, 900, (20, 11, 13)).astype(np.int16)
    view = stored.transpose(2, 0, 1)[::-1, :, ::-1]
    assert plan_uint8(view, modality="MR") == plan_uint8(np.ascontiguousarray(view), modality="MR")


@pytest.mark.parametrize("depth", [1, 15, 16, 17, 50])
def test_facts_gathered_slab_by_slab_are_those_of_the_image(depth: int) -> None:
    image = np.random.default_rng(depth).integers(0, 256, (depth, 9, 11)).astype(np.uint8)
    image[:, :4] = 0
    facts = ImageFacts()
    for first in range(0, depth, 6):  # no multiple of every fourth slice
        facts.add(image[first : first + 6])
    assert facts.quantiles == quantiles_uint8(image)
    assert facts.gradient_energy == gradient_energy(image)
    by_hand = [
        np.concatenate([np.diff(p.astype(int), axis=a).ravel() ** 2 for a in (0, 1)]) for p in image[::4]
    ]
    assert facts.gradient_energy == np.concatenate(by_hand).mean()
