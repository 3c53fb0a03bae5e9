"""Facts about arrays, against the plain way of counting them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fve_kernels.cpu_statistics import histogram_uint8, label_counts, label_statistics, squared_steps
from fve_pipeline.imaging.statistics import QUANTILES, class_facts, gradient_energy, quantiles_uint8

CLASSES = [(1, (1,)), (7, (2, 3)), (9, ())]
volumes = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=7))


@given(volumes)
def test_quantiles_are_values_of_the_image(image: np.ndarray) -> None:
    expected = np.percentile(image, QUANTILES, method="lower")
    assert np.allclose(quantiles_uint8(image), expected)


@given(hnp.arrays(np.uint16, st.tuples(*[st.integers(2, 6)] * 3), elements=st.integers(0, 4)))
def test_class_facts_count_unions_and_instances(labels: np.ndarray) -> None:
    spacing = (2.0, 1.0, 0.5)
    found = {f.class_id: f for f in class_facts(label_statistics(labels), CLASSES, labels.shape, spacing)}
    masks = {1: labels == 1, 7: np.isin(labels, (2, 3)), 9: labels > 0}
    assert set(found) == {key for key, mask in masks.items() if mask.any()}
    for key, facts in found.items():
        places = np.argwhere(masks[key])
        assert facts.voxels == len(places)
        extent = (places.max(axis=0) - places.min(axis=0) + 1) * spacing
        assert facts.extent == pytest.approx(extent, abs=1e-5)
        assert facts.centroid == pytest.approx((places.mean(axis=0) + 0.5) / labels.shape, abs=1e-5)


def test_gradient_energy_of_flat_and_of_steps() -> None:
    assert gradient_energy(np.full((3, 8, 8), 7, np.uint8)) == 0
    steps = np.zeros((1, 4, 4), np.uint8)
    steps[..., 2:] = 10
    assert gradient_energy(steps) == pytest.approx(4 * 100 / 24)
    assert gradient_energy(np.zeros((1, 1, 1), np.uint8)) == 0


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_kernels_count_as_numpy_does(plane: np.ndarray) -> None:
    assert np.array_equal(histogram_uint8(plane), np.bincount(plane.reshape(-1), minlength=256))
    assert np.array_equal(label_counts(plane), np.bincount(plane.reshape(-1), minlength=256))
    steps = [np.diff(plane.astype(int), axis=axis) for axis in (0, 1)]
    total = sum(int((step**2).sum()) for step in steps)
    assert squared_steps(plane) == (total, sum(step.size for step in steps))
    assert squared_steps(plane[::-1, ::2])[1] == squared_steps(np.ascontiguousarray(plane[::-1, ::2]))[1]


@given(
    st.data(), st.sampled_from([np.uint8, np.uint16]), hnp.array_shapes(min_dims=3, max_dims=3, max_side=40)
)
def test_runs_longer_than_a_word_are_counted_whole(
    data: st.DataObject, dtype: type[np.generic], shape: tuple[int, ...]
) -> None:
    size = int(np.prod(shape))
    lengths = data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=20))
    offset = data.draw(st.integers(0, 3))  # from memory at any address
    runs = np.resize(np.repeat(np.arange(len(lengths)) % 5, lengths), size + offset).astype(dtype)
    labels = runs[offset:].reshape(shape)
    found = label_statistics(labels)
    assert np.array_equal(label_counts(labels), np.bincount(labels.reshape(-1), minlength=len(found.counts)))
    assert np.array_equal(found.counts, label_counts(labels))
    for label in np.unique(labels):
        places = np.argwhere(labels == label)
        assert np.array_equal(found.low[label], places.min(axis=0))
        assert np.array_equal(found.high[label], places.max(axis=0))
        assert np.array_equal(found.sums[label], places.sum(axis=0))
