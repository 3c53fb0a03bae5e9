"""Labels laid over each other: each comes back bit for bit, in whatever order and form they came."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from volume_make import ramp, write_nifti

from fve_pipeline.errors import ReadError
from fve_pipeline.volume import read_image, read_labels
from fve_pipeline.volume.label_file import LabelFile
from fve_pipeline.volume.overlay import Overlay, flattened

SHAPE = (6, 4, 5)


@st.composite
def layers(draw: st.DrawFn) -> list[tuple[int, NDArray[np.bool_]]]:
    ids = draw(st.lists(st.integers(1, 60000), min_size=1, max_size=6, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return [(label, rng.random(SHAPE) < 0.4) for label in ids]


@settings(deadline=None, max_examples=40)
@given(layers())
def test_each_label_comes_back(given: list[tuple[int, NDArray[np.bool_]]]) -> None:
    overlay = Overlay(SHAPE)
    for label, mask in given:
        overlay.add(mask, label)
    for label, mask in given:
        values = [label, *(value for value, ids in overlay.sets.items() if label in ids)]
        assert np.array_equal(np.isin(overlay.array, values), mask)


@settings(deadline=None, max_examples=40)
@given(layers(), layers())
def test_a_map_of_sets_is_added_as_its_labels_one_by_one(
    first: list[tuple[int, NDArray[np.bool_]]], second: list[tuple[int, NDArray[np.bool_]]]
) -> None:
    one, other, whole = Overlay(SHAPE), Overlay(SHAPE), Overlay(SHAPE)
    for label, mask in first:
        one.add(mask, label)
        whole.add(mask, label)
    for label, mask in second:
        other.add(mask, label)
        for place, plane in enumerate(mask):
            whole.add_slice(place, plane, label)
    one.add(other.array, sets=other.sets)
    for label in {label for label, _ in (*first, *second)}:
        found, expected = (
            np.isin(made.array, [label, *(value for value, ids in made.sets.items() if label in ids)])
            for made in (one, whole)
        )
        assert np.array_equal(found, expected)


def test_an_id_where_a_set_has_its_value_is_refused() -> None:
    overlay = Overlay(SHAPE)
    overlay.add(np.ones(SHAPE, bool), 1)
    overlay.add(np.ones(SHAPE, bool), 2)
    with pytest.raises(ReadError, match="overlap in 1 combinations"):
        overlay.add(np.full(SHAPE, 65535, np.uint16))


def test_flattening_keeps_the_highest_and_counts() -> None:
    array, several = flattened(np.array([[[9, 1, 0]]], np.uint16), {9: (1, 4)})
    assert array.tolist() == [[[4, 1, 0]]]
    assert several == 1


def test_files_that_overlap_are_kept_or_laid_over_each_other(tmp_path: Path) -> None:
    heart, atrium = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    heart[1:4], atrium[3:5, 2:] = 1, 1
    image = write_nifti(tmp_path / "image.nii.gz", ramp(SHAPE))
    write_nifti(tmp_path / "heart.nii.gz", heart)
    write_nifti(tmp_path / "atrium.nii.gz", atrium)
    files = [LabelFile("heart.nii.gz", value=2), LabelFile("atrium.nii.gz", value=5)]
    kept = read_labels(files, tmp_path, read_image(image), overlaps=True)
    one = [read_labels([file], tmp_path, read_image(image)).array != 0 for file in files]
    assert list(kept.sets.values()) == [(2, 5)]
    assert not kept.notes
    assert np.array_equal(kept.where(2), one[0])
    assert np.array_equal(kept.where(5), one[1])
    flat = read_labels(files, tmp_path, read_image(image))
    assert not flat.sets
    assert np.array_equal(flat.array, np.where(one[1], 5, np.where(one[0], 2, 0)))
    assert "relabelled" in flat.notes[0]


def test_a_file_of_some_classes_has_numbers_of_its_own(tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "image.nii.gz", ramp(SHAPE))
    some = np.zeros(SHAPE, np.uint8)
    some[1], some[2] = 1, 2
    write_nifti(tmp_path / "some.nii.gz", some)
    volume = read_image(image)
    plain = read_labels([LabelFile("some.nii.gz")], tmp_path, volume).array
    found = read_labels([LabelFile("some.nii.gz", values=((1, 30), (2, 4)))], tmp_path, volume).array
    assert np.array_equal(found, np.array([0, 30, 4])[plain])
    with pytest.raises(ReadError, match="holds the value 2; expected those that the catalog gives it, 1"):
        read_labels([LabelFile("some.nii.gz", values=((1, 30),))], tmp_path, volume)
