"""DSC, NSD and HD95 against a slow second implementation, on random and degenerate masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reference_metrics import areas_by_marching_cubes, dsc, hd95, nsd

from fve_pipeline.metrics import boxes, overlap, score_classes, surface, surfel_areas

SHAPE = (7, 9, 8)
SPACINGS = st.sampled_from([(1.0, 1.0, 1.0), (3.0, 0.8, 0.8), (0.7, 1.3, 2.9), (5.0, 0.5, 0.25)])


def check(truth: np.ndarray, pred: np.ndarray, spacing: tuple[float, float, float]) -> None:
    scores = score_classes(truth, pred, spacing, tolerance=2.0)
    assert [one.class_id for one in scores] == sorted((set(np.unique(truth)) | set(np.unique(pred))) - {0})
    for one in scores:
        t, p = truth == one.class_id, pred == one.class_id
        assert (one.truth_voxels, one.pred_voxels) == (t.sum(), p.sum())
        assert one.dsc == pytest.approx(dsc(t, p), abs=1e-12)
        assert one.nsd == pytest.approx(nsd(t, p, spacing, 2.0), abs=1e-6)
        assert one.hd95 == pytest.approx(hd95(t, p, spacing), abs=1e-9, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(
    truth=hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 3)),
    pred=hnp.arrays(np.uint16, SHAPE, elements=st.sampled_from([0, 1, 2, 700])),
    spacing=SPACINGS,
)
def test_random_label_maps(truth: np.ndarray, pred: np.ndarray, spacing: tuple[float, float, float]) -> None:
    check(truth, pred, spacing)


def _degenerate() -> dict[str, np.ndarray]:
    empty = np.zeros(SHAPE, np.uint8)
    masks = {"empty": empty, "full": empty + 1}
    for name, where in {
        "one voxel": (3, 4, 5),
        "a corner": (0, 0, 0),
        "the last corner": (-1, -1, -1),
        "a slice": (0,),
        "touching the border": (slice(None), slice(5, None), slice(0, 2)),
        "a line": (2, 3),
        "all but one voxel": None,
    }.items():
        mask = empty.copy()
        if where is None:
            mask += 1
            mask[3, 4, 4] = 0
        else:
            mask[where] = 1
        masks[name] = mask
    return masks


@pytest.mark.parametrize("pred", _degenerate())
@pytest.mark.parametrize("truth", _degenerate())
def test_degenerate_masks(truth: str, pred: str) -> None:
    masks = _degenerate()
    check(masks[truth], masks[pred], (3.0, 0.8, 1.1))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 0.8, 1.1)])
def test_surface_element_areas_are_those_of_marching_cubes(spacing: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(surfel_areas(spacing), areas_by_marching_cubes(spacing), rtol=1e-5)


def test_a_box_has_the_area_of_a_box_with_trimmed_edges() -> None:
    mask = np.ones((20, 30, 40), bool)
    area = surface(mask, (1.0, 1.0, 1.0)).areas.sum()
    faces = 2 * (19 * 29 + 19 * 39 + 29 * 39)
    edges = 4 * (19 + 29 + 39) * np.sqrt(0.5)
    corners = 8 * np.sqrt(3) / 8
    assert area == pytest.approx(faces + edges + corners)


@pytest.mark.parametrize("kind", ["noise", "full", "far"])
def test_predictions_that_are_far_off(kind: str) -> None:
    # Large enough that the transform is chosen over the tree.
    truth = np.zeros((12, 40, 44), np.uint8)
    truth[2:5, 3:9, 4:9] = 1
    pred = np.zeros_like(truth)
    if kind == "noise":
        pred[np.random.default_rng(0).random(truth.shape) < 0.4] = 1
    elif kind == "full":
        pred += 1
    else:
        pred[6:, 25:, 25:] = np.random.default_rng(0).random((6, 15, 19)) < 0.5
    check(truth, pred, (2.5, 0.8, 0.9))


def test_a_crop_has_the_surface_of_the_whole() -> None:
    rng = np.random.default_rng(3)
    mask = np.zeros((12, 14, 16), bool)
    mask[3:8, 5:9, 7:15] = rng.random((5, 4, 8)) < 0.5
    box = boxes(mask.astype(np.uint8))[1]
    whole = surface(mask, (2.0, 0.7, 0.9))
    crop = surface(mask[box], (2.0, 0.7, 0.9), tuple(axis.start for axis in box))  # type: ignore[arg-type]
    np.testing.assert_array_equal(whole.points, crop.points)
    np.testing.assert_array_equal(whole.areas, crop.areas)


def test_a_tolerance_of_whole_voxels_is_met_exactly() -> None:
    # Far from the origin 0.1-mm coordinates don't subtract to 2.0; whole-voxel offsets do.
    truth = np.zeros((3, 3, 80), np.uint8)
    pred = truth.copy()
    truth[1, 1, 51], pred[1, 1, 31] = 1, 1
    assert score_classes(truth, pred, (50.0, 50.0, 0.1), tolerance=2.0)[0].nsd == 1.0
    # The facing sides are 1.9 mm apart and the far sides 2.0.
    assert score_classes(truth, pred, (50.0, 50.0, 0.1), tolerance=1.99)[0].nsd == 0.5


@settings(max_examples=40, deadline=None)
@given(
    truth=hnp.arrays(np.uint16, (5, 4, 6), elements=st.sampled_from([0, 1, 5, 2000])),
    pred=hnp.arrays(np.uint16, (5, 4, 6), elements=st.sampled_from([0, 3, 5, 60000])),
)
def test_overlap_counts_every_pair(truth: np.ndarray, pred: np.ndarray) -> None:
    table = overlap(truth, pred)
    got = {(t, p): n for t, p, n in zip(table.truth_ids, table.pred_ids, table.counts, strict=True)}
    want: dict[tuple[int, int], int] = {}
    for pair in zip(truth.ravel().tolist(), pred.ravel().tolist(), strict=True):
        if pair != (0, 0):
            want[pair] = want.get(pair, 0) + 1
    assert got == want
