"""A volume through the model: golden numbers, batches, mirrors, views, instances."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from fve_pipeline.errors import PredictionError
from fve_pipeline.imaging.encoding import encode
from fve_pipeline.imaging.views import take_view, untake_view
from fve_pipeline.prediction.loaded import LoadedModel
from fve_pipeline.prediction.network import Averaging
from fve_pipeline.prediction.prompts import Target, mirrored
from fve_pipeline.prediction.settings import SliceSettings
from fve_pipeline.prediction.slices import fit_slices
from fve_pipeline.prediction.volume import merge_views, predict_volume
from fve_pipeline.segmenter.config import preset
from fve_pipeline.segmenter.losses import upsample_logits
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.segmenter.postprocess import merge_labels, suppress_overlaps
from fve_pipeline.segmenter.randomness import CounterRandomness, combine_keys, prompt_key

PAPER = SliceSettings(1, "repeat", "opencv", 64)
TARGETS = (
    Target(2, "liver", "liver in abdominal CT"),
    Target(7, "left kidney", "Left kidney"),
    Target(300, "right kidney", "the right kidney"),
)
ONCE = Averaging()


@pytest.mark.parametrize("batch", [1, 3, None])
def test_golden_label_maps_from_pixels(golden: Path, batch: int | None) -> None:
    spec = importlib.util.spec_from_file_location("golden_fill_rule", golden / "fill_rule.py")
    assert spec is not None
    assert spec.loader is not None
    rule = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)
    model = Segmenter(preset("tiny").model_copy(update={"boltzmann": False}), seed=None)
    own = model.state_dict()
    filled = {key: rule.fill_value(key, tuple(value.shape)) for key, value in own.items()}
    model.load_state_dict({k: own[k] if v is None else torch.from_numpy(v) for k, v in filled.items()})
    released = SliceSettings(1, "mirror", "released", 128)
    targets = (
        Target(2, "esophagus", "esophagus in abdominal computed tomography"),
        Target(5, "liver", "liver"),
    )
    with np.load(golden / "tiny_forward.npz") as arrays:
        existence = 1 / (1 + np.exp(-arrays["A_object_existence"]))
        expected = arrays["PP_labels_nms_raw"]
    found = predict_volume(
        LoadedModel(model.eval()), rule.volume()[0], targets, released, ["axial"], ONCE, batch=batch
    )
    np.testing.assert_allclose(found.presence["axial"].T, existence, atol=1e-4)
    assert (found.labels != expected).mean() < 1e-3
    assert set(np.unique(found.labels)) == set(np.unique(expected))


def test_batches_and_repetition_change_nothing(model_of: Callable[..., Segmenter], image: np.ndarray) -> None:
    model = model_of()
    first = predict_volume(LoadedModel(model), image, TARGETS, PAPER, ["axial"], ONCE, batch=1)
    other = predict_volume(LoadedModel(model), image, TARGETS, PAPER, ["axial"], ONCE, batch=7)
    assert (first.labels != other.labels).mean() < 1e-3
    np.testing.assert_allclose(first.presence["axial"], other.presence["axial"], atol=1e-4)
    again = predict_volume(LoadedModel(model), image, TARGETS, PAPER, ["axial"], ONCE, batch=1)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert first.labels.any()
    assert set(np.unique(first.labels)) <= {0, 2, 7, 300}


def test_seed_and_draws_matter(model_of: Callable[..., Segmenter], image: np.ndarray) -> None:
    model = model_of()
    presence = [
        predict_volume(LoadedModel(model), image, TARGETS, PAPER, ["axial"], averaging).presence["axial"]
        for averaging in (Averaging(), Averaging(seed=1), Averaging(draws=4), Averaging(draws=4, seed=1))
    ]
    single, several = (np.abs(presence[i] - presence[i + 1]).mean() for i in (0, 2))
    assert 0 < several < single


@pytest.mark.parametrize("view", [0, 1, 2])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_averaged_over_a_mirror_the_result_is_mirrored_with_the_image(
    model_of: Callable[..., Segmenter], view: int, axis: int
) -> None:
    # Without sampling, and at the model's own size, this holds up to rounding.
    model = model_of(boltzmann=False)
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 64), dtype=np.uint8)
    image = image.take(range(3), view)
    name = ("axial", "coronal", "sagittal")[view]
    plain = predict_volume(LoadedModel(model), image, TARGETS, PAPER, [name], Averaging(flips=(axis,)))
    turned = [Target(t.class_id, t.name, mirrored(t.prompt)) if axis == 2 else t for t in TARGETS]
    flipped = predict_volume(
        LoadedModel(model), np.flip(image, axis), turned, PAPER, [name], Averaging(flips=(axis,))
    )
    assert plain.labels.any()
    assert (np.flip(flipped.labels, axis) != plain.labels).mean() < 2e-3
    alone = predict_volume(LoadedModel(model), image, TARGETS, PAPER, [name], ONCE)
    assert not np.array_equal(alone.labels, plain.labels)


def test_order_two_is_mirrored_before_it_is_encoded(model_of: Callable[..., Segmenter]) -> None:
    model = model_of(boltzmann=False)
    image = np.random.default_rng(1).integers(0, 256, (6, 64, 64), dtype=np.uint8)
    rule = SliceSettings(2, "repeat", "opencv", 64)
    plain = predict_volume(LoadedModel(model), image, TARGETS[:1], rule, ["axial"], Averaging(flips=(2,)))
    flipped = predict_volume(
        LoadedModel(model), np.flip(image, 2), TARGETS[:1], rule, ["axial"], Averaging(flips=(2,))
    )
    assert plain.labels.any()
    assert (np.flip(flipped.labels, 2) != plain.labels).mean() < 2e-3


@pytest.mark.parametrize("resize", ["opencv", "released"])
@pytest.mark.parametrize("view", ["axial", "coronal", "sagittal"])
def test_what_is_drawn_on_a_slice_comes_back_to_its_place(resize: Any, view: str) -> None:
    image = np.zeros((40, 37, 50), np.uint8)
    image[8:30, 6:20, 11:44] = 255
    slices, back = fit_slices(take_view(image, view), SliceSettings(1, "repeat", resize, 128))
    assert slices.shape[1:] == (128, 128)
    drawn = untake_view(back((slices > 127).astype(np.uint16)), view)
    if resize == "opencv":
        np.testing.assert_array_equal(drawn, image > 0)
    else:  # the released way back rounds down, so an edge may be off by a voxel
        assert not drawn[~ndimage.binary_dilation(image > 0)].any()
        assert drawn[ndimage.binary_erosion(image > 0)].all()


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.uint8, (3, 2, 3, 4)))
def test_with_one_prompt_views_are_averaged(weights: np.ndarray) -> None:
    votes = [(np.ones((2, 3, 4), np.uint16), weight) for weight in weights]
    np.testing.assert_array_equal(merge_views(votes), weights.astype(int).sum(0) * 2 > 255 * 3)


@settings(max_examples=50, deadline=None)
@given(places=hnp.arrays(np.uint16, (3, 8), elements=st.integers(1, 3)), weights=hnp.arrays(np.uint8, (3, 8)))
def test_views_vote(places: np.ndarray, weights: np.ndarray) -> None:
    merged = merge_views([(p[None, None], w[None, None]) for p, w in zip(places, weights, strict=True)])[0, 0]
    for voxel in range(8):
        own, strength = places[:, voxel].tolist(), weights[:, voxel].tolist()
        mean = {place: sum(w for p, w in zip(own, strength, strict=True) if p == place) / 3 for place in own}
        if max(mean.values()) > 127.5:
            assert mean[int(merged[voxel])] == max(mean.values())
        else:
            assert merged[voxel] == 0


@pytest.mark.parametrize("looked_for", [[(0, 2), (1,)], [(1,), (0, 1, 2)], [(2, 0, 1)]])
def test_renditions_are_merged_as_separate_runs_merged_by_hand(
    model_of: Callable[..., Segmenter], image: np.ndarray, looked_for: list[tuple[int, ...]]
) -> None:
    model, shown = model_of().double(), [image, 255 - image // 2][: len(looked_for)]
    found = predict_volume(
        LoadedModel(model), shown, TARGETS, PAPER, ["axial"], ONCE, looked_for=looked_for, batch=4
    )
    # Each rendition by itself, one slice at a time; then the paper's rule for prompts over all that was found.
    expected = np.zeros((len(image), PAPER.size, PAPER.size), np.uint16)
    presence = np.zeros((len(image), len(TARGETS)), np.float32)
    for z in range(len(image)):
        masks, existence, ids = [], [], []
        for own, places in zip(shown, looked_for, strict=True):
            slices, back = fit_slices(take_view(own, "axial"), PAPER)
            encoded = torch.from_numpy(
                encode(slices, PAPER.order, PAPER.boundary, PAPER.downsample, layout="chw")
            )
            prompts = [TARGETS[place].prompt for place in places]
            draws = CounterRandomness.of(
                0, [combine_keys(0, 0, z)], [[prompt_key(p) for p in prompts]], epoch=0
            )
            with torch.inference_mode():
                one = model(
                    encoded[z : z + 1], model.encode_text(model.tokenize(prompts)).shared_by(1), draws
                )
            masks.append(one.masks[0])
            existence.append(one.existence[0])
            ids += [1 + place for place in places]
            for place, value in zip(places, one.existence[0].sigmoid().tolist(), strict=True):
                presence[z, place] = max(presence[z, place], value)
        large = upsample_logits(torch.cat(masks)[None], (PAPER.size, PAPER.size))[0]
        expected[z] = merge_labels(suppress_overlaps(large, torch.cat(existence)), ids)
    class_ids = np.array([0, *(target.class_id for target in TARGETS)], np.uint16)
    by_hand = class_ids[untake_view(back(expected), "axial")]
    np.testing.assert_allclose(found.presence["axial"], presence, atol=1e-4)
    # In float64, where the rounding of a batch moves no voxel.
    np.testing.assert_array_equal(found.labels, by_hand)
    assert found.labels.any()


def test_sentences_of_one_prompt_are_merged_as_prompts_of_one_class(
    model_of: Callable[..., Segmenter], image: np.ndarray
) -> None:
    loaded = LoadedModel(model_of(seed=6))
    apart = (TARGETS[0], Target(9, "spleen", "spleen"), TARGETS[1])
    joined = (Target(2, "liver or spleen", "liver in abdominal CT[SEP]spleen"), TARGETS[1])
    expected = predict_volume(loaded, image, apart, PAPER, ["axial"], ONCE)
    found = predict_volume(loaded, image, joined, PAPER, ["axial"], ONCE)
    assert {2, 9} <= set(np.unique(expected.labels).tolist())
    np.testing.assert_array_equal(found.labels, np.where(expected.labels == 9, 2, expected.labels))
    presence = expected.presence["axial"]
    np.testing.assert_array_equal(found.presence["axial"], np.c_[presence[:, :2].max(1), presence[:, 2]])
    with pytest.raises(PredictionError, match="instances of 2 prompts"):
        predict_volume(loaded, image, joined[:1], PAPER, ["axial"], ONCE, instances=True)


def test_one_rendition_of_all_targets_is_the_plain_prediction(
    model_of: Callable[..., Segmenter], image: np.ndarray
) -> None:
    model = model_of()
    plain = predict_volume(LoadedModel(model), image, TARGETS, PAPER, ["axial", "coronal"], ONCE)
    listed = predict_volume(
        LoadedModel(model), [image], TARGETS, PAPER, ["axial", "coronal"], ONCE, looked_for=[range(3)]
    )
    np.testing.assert_array_equal(plain.labels, listed.labels)


def test_half_of_the_votes_is_not_enough() -> None:
    """Two places can then not tie: both would have more than half."""
    sure, unsure = np.full((1, 1, 2), 255, np.uint8), np.array([[[0, 1]]], np.uint8)
    one = np.ones((1, 1, 2), np.uint16)
    assert merge_views([(one, sure), (one, unsure)]).tolist() == [[[0, 1]]]


def test_several_views(model_of: Callable[..., Segmenter], image: np.ndarray) -> None:
    found = predict_volume(LoadedModel(model_of()), image, TARGETS, PAPER, ["axial", "coronal"], ONCE)
    assert {view: p.shape for view, p in found.presence.items()} == {"axial": (10, 3), "coronal": (44, 3)}
    assert set(np.unique(found.labels)) <= {0, 2, 7, 300}
    assert found.labels.shape == image.shape


def test_instances_lie_in_the_mask(model_of: Callable[..., Segmenter], image: np.ndarray) -> None:
    model = model_of()
    mask = predict_volume(LoadedModel(model), image, TARGETS[:1], PAPER, ["axial"], ONCE).labels > 0
    found = predict_volume(
        LoadedModel(model), image, TARGETS[:1], PAPER, ["axial"], ONCE, instances=True
    ).labels
    assert mask.any()
    assert not found[~mask].any()
    for prompts, views in ((TARGETS, ["axial"]), (TARGETS[:1], ["axial", "coronal"])):
        with pytest.raises(PredictionError, match="expected one of each"):
            predict_volume(LoadedModel(model), image, prompts, PAPER, views, ONCE, instances=True)
