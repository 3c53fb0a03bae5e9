"""Predictions beside the truth: which file is whose, how they are counted, shown and sorted by."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import chromium
import numpy as np
import pyarrow as pa
import pytest
import SimpleITK as sitk
from chromium import wait
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fve_pipeline.cli.main import app
from fve_pipeline.errors import EvaluationError
from fve_pipeline.look.viewer import StoreSlices, serve
from fve_pipeline.look.viewer.agreement import agreement
from fve_pipeline.look.viewer.predictions import Predictions
from fve_pipeline.store.reader import Store, open_store


@given(seed=st.integers(0, 2**16), slices=st.integers(1, 4), values=st.integers(1, 6))
def test_agreement_is_what_masks_say(seed: int, slices: int, values: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = (rng.integers(0, values, (slices, 6, 7)).astype(np.uint16) for _ in range(2))
    classes = {9: ({1, 2}, {2, 9}), 3: ({3}, {3})}
    for class_id, found in agreement(truth, predicted, classes).items():
        own, given_ids = classes[class_id]
        here, there = np.isin(truth, sorted(own)), np.isin(predicted, sorted(given_ids))
        both = (here & there).sum((1, 2))
        assert np.array_equal(found.truth, here.sum((1, 2)))
        assert np.array_equal(found.predicted, there.sum((1, 2)))
        assert np.array_equal(found.both, both)
        total = here.sum() + there.sum()
        assert found.dice == (pytest.approx(2 * both.sum() / total) if total else None)


@pytest.fixture(scope="module")
def store(both_stores: Path) -> Store:
    return open_store(both_stores / "slices.zarr")


@pytest.fixture(scope="module")
def maps(both_stores: Path, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label maps of two of the three cases: the truth of one, and the other's without class 2, under its image's name."""
    folder = tmp_path_factory.mktemp("maps")
    rows = store.cases.select(["case", "labels"]).to_pylist()
    for number, row in enumerate(rows[:2]):
        image = sitk.ReadImage(str(both_stores / "cohort" / row["labels"][0]))
        array = sitk.GetArrayFromImage(image)
        if number:
            array[array == 2] = 0
        predicted = sitk.GetImageFromArray(array)
        predicted.CopyInformation(image)
        path = folder / f"{row['case']}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        sitk.WriteImage(predicted, str(path))
    return folder


def test_the_truth_agrees_with_itself_and_what_is_missing_is_missed(store: Store, maps: Path) -> None:
    predictions = Predictions(store, maps)
    first, second = list(predictions.files)
    assert {one.dice for one in predictions.of_case(first).values()} <= {1.0, None}
    scores = predictions.of_case(second)
    assert scores[1].dice == 1.0
    assert scores[2].dice == 0.0
    slices = StoreSlices(store, predictions)
    run = next(iter(slices.runs.of_rows(np.flatnonzero(np.asarray(store.index.column("case")) == second))))
    mask = store.read_masks(run.start, run.stop)
    place = int((mask == 2).sum((1, 2)).argmax())
    picture, whole = slices.difference(run.start + place), slices.difference(run.start + place, 1)
    assert np.array_equal(picture[..., 3] > 0, mask[place] == 2)
    assert tuple(picture[mask[place] == 2][0]) == (255, 60, 60, 255)
    assert not whole.any()
    drawn = slices.predicted(run.start + place, 1)
    assert not np.array_equal(drawn, slices.picture(run.start + place, 1, "outlines"))
    told = slices.scores(second)["classes"]
    assert next(one for one in told if one["id"] == 2)["slices"][place] == 0.0
    assert slices.scores(store.cases.column("case")[2].as_py()) == {"classes": []}


def test_cases_are_sorted_by_what_is_known(store: Store, maps: Path) -> None:
    predictions = Predictions(store, maps)
    slices = StoreSlices(store, predictions)
    names = store.cases.column("case").to_pylist()
    assert [case["case"] for case in slices.cases(by="dice")["cases"]] == names
    predictions.score_all(threading.Event())
    found = slices.cases(by="dice")
    assert [case["case"] for case in found["cases"]] == [names[1], names[0], names[2]]
    assert found["scored"] == 2
    assert [case["dice"] for case in slices.cases(by="tiny/2")["cases"]] == [0.0, 1.0, None]
    assert slices.cases(by="nobody/2")["cases"] == []
    rows = {"case": [names[0], names[1]], "class_id": [2, 2], "dsc": [0.25, 0.75]}
    known = StoreSlices(store, Predictions(store, maps, pa.table(rows)))
    assert [case["dice"] for case in known.cases(by="tiny/2")["cases"]] == [0.25, 0.75, None]


def test_what_does_not_fit_is_said(store: Store, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no label map there is named for a case of the store"):
        Predictions(store, tmp_path)
    case = store.cases.column("case")[0].as_py()
    (tmp_path / case).parent.mkdir()
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 3, 4), np.uint8)), str(tmp_path / f"{case}.nii.gz"))
    predictions = Predictions(store, tmp_path)
    predictions.score_all(threading.Event())
    assert "has (2, 3, 4) voxels" in predictions.problems[case]
    assert "has (2, 3, 4) voxels" in StoreSlices(store, predictions).scores(case)["problem"]
    alone = CliRunner().invoke(
        app, ["view", str(store.files.url), "--scores", "s.parquet"], env={"COLUMNS": "200"}
    )
    assert alone.exit_code == 2
    assert "give them with --pred" in alone.output


@pytest.fixture
def page(store: Store, maps: Path, tmp_path: Path) -> Iterator[chromium.Page]:
    if chromium.CHROMIUM is None:
        pytest.skip("no chromium is installed")
    predictions = Predictions(store, maps)
    predictions.score_all(threading.Event())
    page = chromium.Page(tmp_path / "profile")
    with serve(StoreSlices(store, predictions)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        page.resize(1200)
        page.open(server.url + "#by=dice")
        yield page
        assert page.errors == []
        page.close()
        server.shutdown()
        thread.join()


def test_the_worst_case_first_and_its_worst_slices(page: chromium.Page) -> None:
    wait(page, "found?.case === 'tiny/c01' && document.querySelectorAll('#worst button').length > 0")
    assert page.run("document.querySelector('#cases button').textContent").count("Dice 0.") == 1
    assert "left ball 0.000" in page.run("document.getElementById('dice').textContent")
    worst = page.run("worstSlices()[0][1]")
    page.press("n", 78)
    wait(page, f"+document.getElementById('slider').value === {worst}")
    page.press("n", 78)
    wait(page, "+document.getElementById('slider').value === worstSlices()[1][1]")
    page.run(f"document.getElementById('slider').value = {worst}; show()")
    wait(page, "document.querySelector('#inner .difference')?.naturalWidth > 0")
    page.press("p", 80)
    page.press("p", 80)
    wait(page, "document.getElementById('outlines').src.includes('/predicted.png')")
    assert not page.run("document.querySelector('#inner .difference')")
    assert "show=prediction" in page.run("location.hash")
    page.run("document.getElementById('by').value = 'tiny/2'; document.getElementById('by').onchange()")
    wait(page, "document.querySelector('#cases button')?.textContent.includes('Dice 0.000')")
