"""Pictures of a store: the same at any order from either storage, and those of the prepared volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fve_pipeline.imaging.encoding import context_depth, encode
from fve_pipeline.look.contact_sheet import class_colour
from fve_pipeline.look.viewer import StoreSlices
from fve_pipeline.store.reader import open_store


@pytest.fixture(scope="module", params=["encoded", "slices"])
def slices(request: pytest.FixtureRequest, both_stores: Path) -> StoreSlices:
    return StoreSlices(open_store(both_stores / f"{request.param}.zarr"))


def test_every_row_belongs_to_one_run(slices: StoreSlices) -> None:
    index = slices.store.index.select(["case", "rendition", "view"]).to_pylist()
    seen = []
    for name in slices.store.cases.column("case").to_pylist():
        for run in slices.case(name)["runs"]:
            rows = range(run["start"], run["start"] + run["count"])
            for row in rows:
                assert slices.runs.of_row(row) == rows
                assert index[row] == {"case": name, "rendition": run["rendition"], "view": run["view"]}
            seen += rows
    assert seen == list(range(len(slices.store)))


@pytest.mark.parametrize("order", [0, 1, 2, 4])
def test_any_order_is_that_of_the_whole_run(slices: StoreSlices, order: int) -> None:
    run = list(slices.runs)[3]
    whole = encode(slices.store.read_slices(run.start, run.stop), order)
    for row in (run.start, run.start + 2, run.stop - 1):
        assert np.array_equal(slices.picture(row, order, "encoded"), whole[row - run.start])
        for channel, what in enumerate(("focal", "before", "after")):
            assert np.array_equal(slices.picture(row, order, what), whole[row - run.start, ..., channel])


def test_the_stored_order_gives_the_stored_image(both_stores: Path) -> None:
    slices = StoreSlices(open_store(both_stores / "encoded.zarr"))
    for row in (0, 7, len(slices.store) - 1):
        assert np.array_equal(slices.picture(row, 1, "encoded"), slices.store.sample(row)[0])


def test_context_is_the_neighbours(slices: StoreSlices) -> None:
    run = slices.runs.of_row(0)
    row = run.start + 1
    assert np.array_equal(slices.context(row, 1, 1), slices.picture(row + 1, 0, "focal"))
    assert np.array_equal(slices.context(row, 1, -1), slices.picture(row - 1, 0, "focal"))
    assert slices.context(row, 3, context_depth(3)).shape == (8, 8)
    with pytest.raises(IndexError, match="order 3 holds distances 1 to 7, not 8"):
        slices.context(row, 3, 8)


def test_outlines_of_one_class(slices: StoreSlices) -> None:
    lists = slices.store.index.column("class_ids").to_pylist()
    row = next(row for row, ids in enumerate(lists) if {1, 2, 9} <= set(ids))

    def colours(only: int | None) -> set[tuple[int, ...]]:
        picture = slices.picture(row, 1, "outlines", only)
        coloured = picture[picture.max(axis=2) != picture.min(axis=2)]
        return {tuple(colour) for colour in coloured.tolist()}

    assert colours(None) == {class_colour(1), class_colour(2)}
    assert colours(1) == {class_colour(1)}
    assert colours(2) == {class_colour(2)}
    assert colours(9) == {class_colour(1), class_colour(2)}
    with pytest.raises(KeyError, match="tiny has no class 77"):
        slices.picture(row, 1, "outlines", 77)


def test_finding_cases(slices: StoreSlices) -> None:
    assert slices.cases()["total"] == 3
    assert [case["case"] for case in slices.cases("C01 ct")["cases"]] == ["tiny/c01"]
    assert slices.cases("c0", start=2)["cases"][0]["case"] == "tiny/c02"
    assert slices.cases("nowhere") == {"total": 0, "cases": []}


def test_what_is_out_of_range_is_said(slices: StoreSlices) -> None:
    assert slices.orders == [0, 1, 2, 3, 4, 5, 6]
    with pytest.raises(IndexError, match="row 999: the store has rows 0 to"):
        slices.picture(999, 1, "focal")
    with pytest.raises(IndexError, match="order 7: the store's size allows"):
        slices.picture(0, 7, "focal")
    with pytest.raises(KeyError):
        slices.case("tiny/c99")


def test_fill_is_the_classes_and_nothing_else(slices: StoreSlices) -> None:
    lists = slices.store.index.column("class_ids").to_pylist()
    row = next(row for row, ids in enumerate(lists) if {1, 2, 9} <= set(ids))
    mask = slices.store.mask_rows.take([row])[0]
    every, one = slices.fill(row), slices.fill(row, 1)
    assert np.array_equal(every[..., 3] > 0, mask > 0)
    assert np.array_equal(one[..., 3] > 0, mask == 1)
    assert {tuple(colour) for colour in one[mask == 1].tolist()} == {(*class_colour(1), 255)}


def test_planes_stand_on_the_slices(slices: StoreSlices) -> None:
    run = slices.runs.of_row(0)
    volume = slices.store.read_slices(run.start, run.stop)
    plane = slices.plane(run.start + 1, "y", 3)
    assert plane.shape[1] == volume.shape[2]
    # Top and bottom are the last and the first slice, whatever the slices' distance makes of those between.
    assert np.array_equal(plane[0], volume[-1, 3])
    assert np.array_equal(plane[-1], volume[0, 3])
    assert np.array_equal(slices.plane(run.start, "x", 5)[-1], volume[0, :, 5])
    with pytest.raises(IndexError, match="y = 99: slices have 0 to"):
        slices.plane(run.start, "y", 99)


def test_marks_are_the_index(slices: StoreSlices) -> None:
    run = slices.runs.of_row(0)
    lists = slices.store.index.column("class_ids").to_pylist()[run.start : run.stop]
    found = {mark["id"]: mark["slices"] for mark in slices.run(run.start)["marks"]}
    assert found == {
        class_id: [place for place, ids in enumerate(lists) if class_id in ids]
        for class_id in {one for ids in lists for one in ids}
    }
