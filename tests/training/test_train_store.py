"""Training and validation data out of a store that was built from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from inline import InlineExecutor

from fve_pipeline.loading.share import Share
from fve_pipeline.prediction.settings import SliceSettings
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.training.config import DataSettings
from fve_pipeline.training.store import StoreTraining, StoreValidation

WHOLE = Share(batch=8, rank=0, world=1, accumulate=1)
PLAIN = DataSettings(prompts=3, augment="none")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Store]:
    """The same five cases as encoded images and as plain slices."""
    root = tiny.write_cohort(tmp_path_factory.mktemp("cohort"), 5)
    built = {}
    executor = InlineExecutor()
    for storage in ("encoded", "slices"):
        out = tmp_path_factory.mktemp(storage) / "slices.zarr"
        settings = tiny.settings(storage=storage, val_fraction=0.4)
        tiny.build(tiny.datasets(root), out, executor, settings=settings)
        built[storage] = open_store(out)
    return built


@pytest.mark.parametrize("augment", ["none", "recipe"])
def test_batches_are_a_function_of_seed_and_epoch(stores: dict[str, Store], augment: Any) -> None:
    data = StoreTraining([stores["slices"]], DataSettings(prompts=4, augment=augment), seed=3)
    whole = list(data.batches(1, WHOLE, 0))
    assert len(whole) == len(data) // 8
    assert [b.samples for b in data.batches(1, WHOLE, 2)] == [b.samples for b in whole[2:]]
    parts = [list(data.batches(1, Share(8, rank, 2, 2), 0)) for rank in (0, 1)]
    for step, batch in enumerate(whole):
        pieces = [piece for part in parts for piece in part[2 * step : 2 * step + 2]]
        assert [s for piece in pieces for s in piece.samples] == list(batch.samples)
        assert [p for piece in pieces for p in piece.prompts] == list(batch.prompts)
        np.testing.assert_array_equal(np.concatenate([p.masks for p in pieces]), batch.masks)
        np.testing.assert_array_equal(np.concatenate([p.images for p in pieces]), batch.images)
    assert [b.samples for b in data.batches(2, WHOLE, 0)] != [b.samples for b in whole]


def test_positives_are_counted_where_a_class_is_shown(stores: dict[str, Store]) -> None:
    data = StoreTraining([stores["encoded"]], PLAIN)
    seen = dict.fromkeys(data.positives, 0)
    every = data.dataset.read(range(len(data)))
    for masks, classes in zip(every.masks, every.classes, strict=True):
        for name, mask in dict(zip(classes, masks, strict=True)).items():
            seen[name] += bool(mask.any())
    # The two windows show three classes and one, so three prompts ask for each that may be asked for.
    assert seen == dict(data.positives)
    assert seen["tiny/left ball"] > 0


def test_a_coresets_cases_alone(stores: dict[str, Store]) -> None:
    store = stores["encoded"]
    rows = store.index.to_pylist()
    case = next(row["case"] for row in rows if row["split"] == "train")
    data = StoreTraining([store], PLAIN, cases=[case])
    assert len(data) == sum(row["case"] == case for row in rows)
    assert data.content_id != StoreTraining([store], PLAIN).content_id
    kept = store.settings.model_dump()
    assert data.settings == {key: kept[key] for key in SliceSettings.__dataclass_fields__}


def test_it_says_which_cases_and_data_sets_it_draws_from(stores: dict[str, Store]) -> None:
    store = stores["encoded"]
    train = {row["case"]: row for row in store.cases.to_pylist() if row["split"] == "train"}
    found = StoreTraining([store, stores["slices"]], PLAIN).trained_on
    assert {case.case for case in found.cases} == set(train)
    assert all(
        tuple(case)[1:] == (train[case.case]["subject"], train[case.case]["source_sha256"])
        for case in found.cases
    )
    assert [one.dataset for one in found.datasets] == ["tiny"]
    first = next(iter(train))
    assert [case.case for case in StoreTraining([store], PLAIN, cases=[first]).trained_on.cases] == [first]


@pytest.mark.parametrize("sampling", ["tempered", "class_balanced"])
def test_sampling_by_name(stores: dict[str, Store], sampling: Any) -> None:
    data = StoreTraining([stores["encoded"]], DataSettings(prompts=2, sampling=sampling))
    assert sum(len(batch) for batch in data.batches(0, WHOLE, 0)) == len(data) // 8 * 8


def test_validation_has_whole_cases_of_other_subjects(stores: dict[str, Store]) -> None:
    store = stores["slices"]
    validation = StoreValidation([store])
    train = {row["subject"] for row in store.index.to_pylist() if row["split"] == "train"}
    assert len(validation) > 0
    for number in range(len(validation)):
        case = validation.case(number)
        assert case.subject not in train
        parts = list(case.slices(2))
        assert [part.first for part in parts] == list(range(0, len(case.rows), 2))
        assert sum(len(part.images) for part in parts) == len(case.rows)
        assert parts[0].masks.shape[1] == len(case.classes) == len(case.prompts)


def test_validation_judges_each_class_once_in_a_rendition_that_shows_it(tmp_path: Path) -> None:
    root = tiny.write_cohort(tmp_path / "cohort", 2)
    catalog = root / "tiny.toml"
    shown = 'window = "soft_tissue"\nclasses = [1, 2]'
    catalog.write_text(
        catalog.read_text()
        .replace('window = "soft_tissue"', shown)
        .replace("classes = [2]\n", "classes = [2, 9]\n")
    )
    out = tmp_path / "slices.zarr"
    executor = InlineExecutor()
    settings = tiny.settings(val_fraction=1.0)
    tiny.build(tiny.datasets(root), out, executor, work=tmp_path / "work", settings=settings)
    found = StoreValidation([open_store(out)]).found
    assert [(case.name, case.classes) for case in found] == [
        (f"tiny/c0{number}", classes)
        for number in range(2)
        for classes in (["tiny/box", "tiny/left ball"], ["tiny/both"])
    ]


@pytest.mark.parametrize("words", [("all", "all"), ("all", "positive")])
def test_percentiles_of_the_catalogs_are_recorded_where_they_agree(
    tmp_path: Path, words: tuple[str, str]
) -> None:
    for number, over in enumerate(words):
        root = tiny.write_cohort(tmp_path / f"d{number}", 1)
        text = tiny.CATALOG[: tiny.CATALOG.index("[[renditions]]")].replace('"CT"', '"MR"', 1)
        head = f'name = "mr{number}"\npercentiles_over = "{over}"\n'
        (root / "tiny.toml").write_text(text.replace('name = "tiny"\n', head))
    executor = InlineExecutor()
    datasets = [one for number in (0, 1) for one in tiny.datasets(tmp_path / f"d{number}")]
    tiny.build(datasets, tmp_path / "slices.zarr", executor, settings=tiny.settings(val_fraction=0.0))
    store = open_store(tmp_path / "slices.zarr")
    assert store.settings.percentiles_over == "positive"
    recorded = SliceSettings.recorded(StoreTraining([store], PLAIN).settings, "w.pt")
    assert recorded.percentiles_over == ("all" if words == ("all", "all") else "positive")


def test_both_forms_of_storage_validate_alike(stores: dict[str, Store]) -> None:
    encoded, plain = (StoreValidation([stores[name]]) for name in ("encoded", "slices"))
    assert [case.name for case in encoded.found] == [case.name for case in plain.found]
    for ours, theirs in zip(encoded.case(0).slices(3), plain.case(0).slices(3), strict=True):
        np.testing.assert_array_equal(ours.images, theirs.images)
        np.testing.assert_array_equal(ours.masks, theirs.masks)
    assert len(StoreValidation([stores["encoded"]], "nothing")) == 0
