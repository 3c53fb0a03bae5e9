"""The phantoms: anatomy where it belongs, ids as declared, the same again from the same seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fve_pipeline.demo.cohort.cells import cells
from fve_pipeline.demo.cohort.head import HEAD_CLASSES, head
from fve_pipeline.demo.cohort.pelvis import PELVIS_CLASSES, pelvis
from fve_pipeline.demo.cohort.torso import TORSO_CLASSES, torso


def centre(labels: np.ndarray, class_id: int) -> np.ndarray:
    return np.argwhere(labels == class_id).mean(axis=0) / labels.shape


@pytest.fixture(scope="module", params=range(4))
def abdomen(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    return torso((36, 96, 96), request.param)


def test_organs_have_their_densities(abdomen: tuple[np.ndarray, np.ndarray]) -> None:
    hu, labels = abdomen
    expected = {1: 62, 2: 48, 3: 38, 4: 38, 5: 150, 6: -820}
    assert set(np.unique(labels)) == {0, *TORSO_CLASSES}
    for class_id, value in expected.items():
        assert hu[labels == class_id].mean() == pytest.approx(value, abs=45)
    assert np.median(hu[:, 0]) < -950  # air in front of the body
    assert hu.max() > 300  # bone


def test_organs_lie_where_they_belong(abdomen: tuple[np.ndarray, np.ndarray]) -> None:
    _, labels = abdomen
    at = {class_id: centre(labels, class_id) for class_id in TORSO_CLASSES}
    liver, spleen, right, left, aorta, lungs = at.values()
    assert liver[2] < 0.5 < spleen[2]  # x runs to the patient's left
    assert right[2] < 0.5 < left[2]
    assert lungs[0] > liver[0] > right[0]  # z runs up
    assert aorta[1] > liver[1]  # y runs to the back
    assert right[0] < left[0]  # the liver pushes its kidney down


def test_a_lesion_lies_inside_the_brain() -> None:
    for seed in range(6):
        image, labels = head((24, 72, 64), seed)
        assert set(np.unique(labels)) == {0, *HEAD_CLASSES}
        assert (labels == 2).sum() < 0.15 * (labels == 1).sum()
        assert image.min() >= 0
        assert image[labels == 1].mean() > 5 * image[:, :2].mean()


def test_a_prostate_case_is_0_to_255() -> None:
    for seed in range(6):
        image, labels = pelvis((24, 32, 30), seed)
        assert image.dtype == np.uint8
        assert set(np.unique(labels)) == {0, *PELVIS_CLASSES}
        assert image[labels == 2].mean() < image[labels == 1].mean()


@pytest.mark.parametrize("count", [20, 400])
def test_every_nucleus_is_there_and_is_bright(count: int) -> None:
    image, labels = cells((24, 64, 64), count, 0)
    assert np.array_equal(np.unique(labels), np.arange(count + 1))
    assert image[labels > 0].mean() > 3 * image[labels == 0].mean()


def test_some_nuclei_touch() -> None:
    _, labels = cells((24, 64, 64), 200, 0)
    a, b = labels[:, :, 1:], labels[:, :, :-1]
    assert ((a != b) & (a > 0) & (b > 0)).any()


@pytest.mark.parametrize("make", [torso, head, pelvis, lambda shape, seed: cells(shape, 30, seed)])
def test_a_seed_is_a_subject(make: Callable[..., tuple[Any, Any]]) -> None:
    shape = (24, 48, 48)
    first, again, other = make(shape, 1), make(shape, 1), make(shape, 2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[1], other[1])
