"""Augmentations: on slices before they are encoded, in step with masks and words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fve_pipeline.errors import LoadingError
from fve_pipeline.imaging.encoding import encode
from fve_pipeline.loading import Recipe, SliceDataset, Ticket
from fve_pipeline.loading.augment import Change, Crop, draw_change
from fve_pipeline.loading.change import change_mask, change_slices
from fve_pipeline.loading.prompts import Question, mirrored
from fve_pipeline.store.class_table import ClassEntry

Stores = dict[str, Path]
ALWAYS = Recipe(gate=1.0)


def noise(n: int = 3, side: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side), np.uint8)


def changes(recipe: Recipe, count: int = 4000) -> list[Change]:
    return [draw_change(recipe, 0, 0, sample, 0) for sample in range(count)]


def test_what_is_drawn_follows_the_recipe() -> None:
    drawn = changes(Recipe())
    gated = [c for c in drawn if c.within_slices]
    assert len(gated) == pytest.approx(2000, abs=120)
    assert sum(c.swap for c in drawn) == pytest.approx(2000, abs=120)
    assert {c.turns for c in gated} == {0, 1, 2, 3}
    assert {c.flip for c in gated} == {0, 1, -1}
    assert sum(c.crop is not None for c in gated) == pytest.approx(1000, abs=100)
    assert sum(c.noise > 0 for c in gated) == pytest.approx(1000, abs=100)
    assert sum(c.pepper > 0 for c in gated) == pytest.approx(1000, abs=100)
    assert max(abs(c.brightness) for c in gated) <= 25.5
    assert all(0.02 <= c.pepper <= 0.1 for c in gated if c.pepper)


@pytest.mark.parametrize(
    ("name", "off"),
    [
        ("swap", {"swap": False}),
        ("rotate", {"turns": 0}),
        ("flip", {"flip": None}),
        ("crop", {"crop": None}),
        ("brightness", {"brightness": 0.0}),
        ("noise", {"noise": 0.0}),
        ("salt_pepper", {"pepper": 0.0}),
    ],
)
def test_each_is_switched_off_alone(name: str, off: dict[str, object]) -> None:
    fields = ("swap", "turns", "flip", "crop", "brightness", "noise", "pepper")
    for with_all, without in zip(
        changes(ALWAYS, 50), changes(Recipe(gate=1.0, **{name: False}), 50), strict=True
    ):
        for field in fields:
            expected = off.get(field, getattr(with_all, field))
            assert getattr(without, field) == expected


@settings(deadline=None)
@given(st.integers(0, 3), st.sampled_from([None, 0, 1, -1]))
def test_turns_and_flips_commute_with_encoding_of_order_1(turns: int, flip: int | None) -> None:
    change = Change(turns=turns, flip=flip)
    slices = noise()
    after = encode(change_slices(slices, change), 1, focal=[1])[0]
    before = np.moveaxis(encode(slices, 1, focal=[1])[0], 2, 0)
    assert np.array_equal(np.moveaxis(after, 2, 0), change_slices(before, change))


@pytest.mark.parametrize("change", list(changes(ALWAYS, 60)))
def test_masks_move_with_the_slices(change: Change) -> None:
    y, x = np.indices((64, 64))
    ball = ((y - 24) ** 2 + (x - 37) ** 2 < 150).astype(np.uint16) * 300
    moved = change_mask(ball, change)
    assert set(np.unique(moved)) <= {0, 300}
    quiet = Change(False, change.turns, change.flip, change.crop)
    image = change_slices((ball > 0).astype(np.uint8)[None] * 255, quiet)[0]
    differ = (image > 127) != (moved > 0)
    assert differ.sum() <= 40  # at most part of the outline
    assert (moved > 0).sum() > 60


def test_a_crop_that_changes_nothing_changes_nothing() -> None:
    slices = noise()
    assert np.array_equal(change_slices(slices, Change(crop=Crop(1.0, 0.0, 0.0))), slices)


def test_a_crop_enlarges_and_moves() -> None:
    plane = np.zeros((100, 100), np.uint16)
    plane[40:60, 40:60] = 9
    moved = change_mask(plane, Change(crop=Crop(0.9, 0.0, 0.1)))
    rows, columns = np.nonzero(moved)
    assert np.ptp(rows) + 1 == pytest.approx(20 / 0.9, abs=1)
    assert rows.mean() == pytest.approx(49.5, abs=0.6)
    assert columns.mean() == pytest.approx(49.5 - 10 / 0.9, abs=0.6)


def test_noise_does_not_wrap_around() -> None:
    grey = np.full((3, 128, 128), 100, np.uint8)
    noisy = change_slices(grey, Change(noise=20.0, key=(1, 2, 3))).astype(float)
    assert noisy.mean() == pytest.approx(100, abs=0.5)
    assert noisy.std() == pytest.approx(20, abs=0.5)
    assert (noisy > 200).sum() == 0
    dark = change_slices(np.zeros_like(grey), Change(noise=20.0, key=(1,)))
    assert (dark == 0).mean() > 0.45
    assert dark.max() < 130
    assert not np.array_equal(noisy[0], noisy[1])  # each slice has its own


def test_salt_and_pepper_fall_on_the_same_pixels_of_all_slices() -> None:
    grey = np.full((3, 200, 200), 100, np.uint8)
    marked = change_slices(grey, Change(pepper=0.1, key=(4,)))
    assert (marked == marked[:1]).all()
    assert (marked == 0).mean() == pytest.approx(0.05, abs=0.004)
    assert (marked == 255).mean() == pytest.approx(0.05, abs=0.004)


def test_brightness_stays_within_bounds() -> None:
    bright = change_slices(noise(), Change(brightness=20.4))
    expected = np.clip(np.rint(noise().astype(float) + 20.4), 0, 255)
    assert np.array_equal(bright, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Left kidney in CT", "Right kidney in CT"),
        ("the RIGHT lung, left of the heart", "the LEFT lung, right of the heart"),
        ("left-sided mass", "right-sided mass"),
        ("bright cleft", "bright cleft"),
    ],
)
def test_words_change_sides(text: str, expected: str) -> None:
    assert mirrored(text) == expected
    assert mirrored(expected) == text


def test_a_mirrored_question() -> None:
    def question(side: str, prompt: str) -> Question:
        return Question(ClassEntry("d", 1, "x", (1,), side=side, prompts=(prompt,)), prompt)

    found = question("left", "left kidney").mirrored
    assert found is not None
    assert found.prompt == "right kidney"
    assert question("", "liver").mirrored == question("", "liver")
    assert question("", "left ventricle").mirrored is None  # a name, wherever it lies


def test_sides_follow_the_mirror_in_a_real_store(stores: Stores) -> None:
    flips = Recipe(
        swap=False, rotate=False, crop=False, brightness=False, noise=False, salt_pepper=False, gate=1.0
    )
    options = {"split": (), "datasets": ("demo_ct",), "prompts": 4}
    plain = SliceDataset(stores["encoded"], **options)
    flipped = SliceDataset(stores["encoded"], augment=flips, **options)
    before, after = plain.read(range(len(plain))), flipped.read(range(len(plain)))
    seen = 0
    for i in range(len(plain)):
        change = draw_change(flips, 0, 0, int(plain.chosen[i]), 0)
        dims = {0: [1], 1: [2], -1: [1, 2]}[change.flip if change.flip is not None else 0]
        assert torch.equal(after.images[i], before.images[i].flip(dims))
        assert torch.equal(after.masks[i], before.masks[i].flip(dims))
        assert after.classes[i] == before.classes[i]
        for old, new in zip(before.prompts[i], after.prompts[i], strict=True):
            # A flip of both axes is half a turn: left stays left.
            assert new == (old if change.flip == -1 else mirrored(old))
            seen += new != old
    assert seen > 20


def test_ids_of_sides_are_never_mirrored(stores: Stores) -> None:
    flips = Recipe(
        swap=False, rotate=False, crop=False, brightness=False, noise=False, salt_pepper=False, gate=1.0
    )
    for dataset, free in (("demo_ct", False), ("demo_npz", True)):
        options = {"split": (), "datasets": (dataset,)}
        plain = SliceDataset(stores["encoded"], **options)
        flipped = SliceDataset(stores["encoded"], augment=flips, **options)
        kept = 0
        for i in range(len(plain)):
            change = draw_change(flips, 0, 0, int(plain.chosen[i]), 0)
            if change.mirrors:
                kept += torch.equal(flipped[i]["image"], plain[i]["image"])
        assert (kept == 0) if free else (kept > 20)


def test_both_forms_of_storage_are_changed_alike(stores: Stores) -> None:
    recipe = Recipe(gate=0.8)
    numbers = [Ticket(i, 1).number for i in range(len(SliceDataset(stores["encoded"], split=())))]
    found = [
        SliceDataset(stores[name], split=(), augment=recipe, prompts=2).read(numbers)
        for name in ("encoded", "slices")
    ]
    assert torch.equal(found[0].images, found[1].images)
    assert torch.equal(found[0].masks, found[1].masks)
    assert found[0].prompts == found[1].prompts


def test_an_encoded_store_of_higher_order_refuses_all_but_the_swap(stores: Stores) -> None:
    with pytest.raises(LoadingError, match=r"order 3: its pixels interleave slices.*--storage slices"):
        SliceDataset(stores["third"], augment=Recipe())
    swap = Recipe(rotate=False, flip=False, crop=False, brightness=False, noise=False, salt_pepper=False)
    plain = SliceDataset(stores["third"]).read(range(40)).images
    swapped = SliceDataset(stores["third"], augment=swap).read(range(40)).images
    lazy = SliceDataset(stores["slices"], augment=swap, order=3, boundary="mirror").read(range(40)).images
    assert torch.equal(swapped, lazy)
    exchanged = [not torch.equal(a, b) for a, b in zip(plain, swapped, strict=True)]
    assert 8 < sum(exchanged) < 32
    for a, b, changed in zip(plain, swapped, exchanged, strict=True):
        assert torch.equal(a[[0, 2, 1]] if changed else a, b)


def test_a_lazy_store_of_higher_order_is_changed_before_it_is_encoded(stores: Stores) -> None:
    turn = Recipe(
        swap=False, flip=False, crop=False, brightness=False, noise=False, salt_pepper=False, gate=1.0
    )
    lazy = SliceDataset(stores["slices"], split=(), augment=turn, order=3)
    index, slices = lazy.index, lazy.sources[0].store.slices[:]
    run = index.runs.of_row(0)
    volume = np.ascontiguousarray(slices[run.start : run.stop])
    for i in run:
        turned = np.ascontiguousarray(np.rot90(volume, draw_change(turn, 0, 0, i, 0).turns, (1, 2)))
        expected = encode(turned, 3, focal=[i])[0]
        assert np.array_equal(lazy[i]["image"].permute(1, 2, 0).numpy(), expected)
