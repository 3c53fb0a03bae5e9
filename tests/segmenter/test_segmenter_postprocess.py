"""Pre- and post-processing: golden label maps, and properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.segmentation import expand_labels

from fve_pipeline.segmenter.instances import split_instances
from fve_pipeline.segmenter.losses import edge_target, upsample_logits
from fve_pipeline.segmenter.postprocess import merge_labels, suppress_overlaps, volume_labels
from fve_pipeline.segmenter.preprocess import Square, square_slices

FORCED = torch.tensor([[2, 2, -1, 0.5], [1, 3, 1, -2]])


@pytest.fixture(scope="module")
def logits(arrays: dict[str, np.ndarray]) -> torch.Tensor:
    up = upsample_logits(torch.from_numpy(arrays["A_pred_gmasks"]), (128, 128))
    np.testing.assert_allclose(up[:, 1], arrays["PP_upsampled_s1"], atol=1e-5)
    return up


@pytest.mark.parametrize("kind", ["raw", "forced"])
def test_golden_label_maps(logits: torch.Tensor, arrays: dict[str, np.ndarray], kind: str) -> None:
    existence = FORCED if kind == "forced" else torch.from_numpy(arrays["A_object_existence"])
    both = volume_labels(logits, existence, [2, 5])
    np.testing.assert_array_equal(both, arrays[f"PP_labels_nms_{kind}"])
    single = volume_labels(logits[:1], existence[:1], [5])
    np.testing.assert_array_equal(single, arrays[f"PP_labels_single_{kind}"])


def test_golden_slices_and_the_way_back(arrays: dict[str, np.ndarray]) -> None:
    made, square = square_slices(arrays["PRE_in"], 128)
    np.testing.assert_array_equal(made, arrays["PRE_out"])
    pads = [[0, 0], [square.top, square.side - square.height - square.top], [square.left, square.left]]
    assert pads == arrays["PRE_pad"].tolist()
    assert square.side == arrays["PRE_padded_size"]
    np.testing.assert_array_equal(square.restore(arrays["POST_in"]), arrays["POST_out"])


def test_a_float_volume_is_refused() -> None:
    with pytest.raises(TypeError, match="float32; expected uint8"):
        square_slices(np.zeros((1, 4, 4), np.float32), 8)  # type: ignore[arg-type]


@given(st.integers(1, 40), st.integers(1, 40))
@settings(deadline=None, max_examples=30)
def test_the_way_back_undoes_the_padding(height: int, width: int) -> None:
    _, square = square_slices(np.zeros((1, height, width), np.uint8), 8)
    labels = np.arange(square.side**2).reshape(1, square.side, square.side).astype(np.int32)
    back = square.restore(labels)
    assert back.shape == (1, height, width)
    np.testing.assert_array_equal(
        back[0], labels[0, square.top : square.top + height, square.left : square.left + width]
    )
    assert isinstance(square, Square)


def test_of_equally_present_prompts_the_one_asked_first_stays() -> None:
    """Float32 knows no presence between logit 17 and certainty, so that sure prompts do tie."""
    masks = torch.full((20, 2, 2), 3.0)
    for logits in (torch.full((20,), 1.5), torch.linspace(18, 40, 20)):
        kept = suppress_overlaps(masks, logits).flatten(1).any(1)
        assert kept.tolist() == [True] + [False] * 19


def _naive_suppression(masks: np.ndarray, exists: np.ndarray) -> list[int]:
    remaining, kept = sorted(range(len(masks)), key=lambda i: -exists[i]), []
    while remaining:
        best = remaining.pop(0)
        if exists[best] < 0.5:
            break
        if not masks[best].any():
            continue
        kept.append(best)
        remaining = [
            i for i in remaining if (masks[best] & masks[i]).sum() <= 0.5 * (masks[best] | masks[i]).sum()
        ]
    return kept


@given(hnp.arrays(np.bool_, (5, 4, 3)), st.permutations([-1.0, 0.0, 0.5, 1.0, 2.0]))
@settings(deadline=None, max_examples=80)
def test_suppression_is_greedy_by_existence(binary: np.ndarray, existence: list[float]) -> None:
    masks = torch.from_numpy(np.where(binary, 2.0, -2.0))
    probability = suppress_overlaps(masks, torch.tensor(existence))
    exists = 1 / (1 + np.exp(-np.array(existence)))
    kept = sorted(_naive_suppression(binary, exists))
    assert [i for i in range(5) if probability[i].any()] == kept
    for i in kept:
        torch.testing.assert_close(probability[i], masks[i].sigmoid())


def test_existence_of_one_half_counts_only_beside_other_prompts() -> None:
    masks, existence = torch.full((1, 1, 2, 2), 3.0), torch.zeros(1, 1)
    assert not volume_labels(masks, existence, [7]).any()
    both = volume_labels(torch.cat((masks, -masks)), torch.zeros(2, 1), [7, 8])
    assert (both == 7).all()


def test_the_first_of_equals_wins_and_the_background_before_all() -> None:
    equal = torch.tensor([[0.9, 0.5], [0.9, 0.5]])
    assert merge_labels(equal, [4, 6]).tolist() == [4, 0]


@given(hnp.arrays(np.bool_, (4, 7, 7)), hnp.arrays(np.bool_, (4, 7, 7)), st.sampled_from([1.0, 2.0]))
@settings(deadline=None, max_examples=40)
def test_instances_grow_back_as_expand_labels_would(mask: np.ndarray, edges: np.ndarray, grow: float) -> None:
    import cc3d

    parts = cc3d.connected_components(mask & ~edges, connectivity=6)
    found = split_instances(mask, edges, grow)
    expected = expand_labels(parts, distance=grow) * mask
    # Voxels as near to one part as to another may go to either, so compare reach and the parts themselves.
    np.testing.assert_array_equal(found > 0, expected > 0)
    np.testing.assert_array_equal(found[parts > 0], parts[parts > 0])


def test_touching_objects_are_told_apart_along_the_edge() -> None:
    ids = np.zeros((3, 20, 30), np.int64)
    ids[:, 4:16, 5:15], ids[:, 4:16, 15:25] = 1, 2
    edges = edge_target(torch.from_numpy(ids)[:, None])[:, 0].numpy()
    found = split_instances(ids > 0, edges)
    assert sorted(np.unique(found)) == [0, 1, 2]
    np.testing.assert_array_equal(found, ids)
    assert split_instances(ids > 0, np.zeros_like(edges)).max() == 1


def test_growing_without_limit_covers_the_mask_and_nothing_else() -> None:
    mask = np.zeros((1, 9, 9), bool)
    mask[0, 1:8, 1:8] = True
    edges = np.ones_like(mask)
    edges[0, 4, 4] = False
    assert (split_instances(mask, edges, None) > 0).sum() == 49
    assert not split_instances(mask, np.ones_like(mask)).any()
    assert not split_instances(np.zeros_like(mask), edges).any()


@given(hnp.arrays(np.bool_, (3, 8, 8)), hnp.arrays(np.bool_, (3, 8, 8)))
@settings(deadline=None, max_examples=60)
def test_whole_instances_are_pieces_of_the_mask(mask: np.ndarray, edges: np.ndarray) -> None:
    import cc3d

    pieces = cc3d.connected_components(mask, connectivity=6)
    seeds = cc3d.connected_components(mask & ~edges, connectivity=6)
    found = split_instances(mask, edges, None)
    np.testing.assert_array_equal(found > 0, mask)
    np.testing.assert_array_equal(found[seeds > 0], seeds[seeds > 0])
    for number in range(1, int(found.max()) + 1):
        assert len(np.unique(pieces[found == number])) == 1  # none reaches across background


def test_an_object_wholly_under_the_edge_is_an_instance_of_its_own() -> None:
    mask = np.zeros((1, 9, 30), bool)
    mask[0, 2:7, 2:7] = mask[0, 3:5, 26:28] = True
    edges = mask.copy()
    edges[0, 4, 4] = False
    found = split_instances(mask, edges, None)
    assert (found[0, 2:7, 2:7] == 1).all()
    assert (found[0, 3:5, 26:28] == 2).all()
