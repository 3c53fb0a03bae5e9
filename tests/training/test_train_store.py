"""Training and validation data out of a store that was built from files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tiny

from fve_pipeline.build import build_store
from fve_pipeline.errors import TrainError
from fve_pipeline.execution import Executor, cluster
from fve_pipeline.progress import Silent
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.train_data import Share
from fve_pipeline.train_store import StoreRows, StoreTraining, StoreValidation, ahead

WHOLE = Share(batch=8, rank=0, world=1, accumulate=1)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Store]:
    """The same five cases as encoded images and as plain slices."""
    root = tiny.write_cohort(tmp_path_factory.mktemp("cohort"), 5)
    built = {}
    executor: Executor[Any]
    with cluster(1, None, None) as executor:
        for storage in ("encoded", "slices"):
            out = tmp_path_factory.mktemp(storage) / "slices.zarr"
            settings = tiny.settings(storage=storage, val_fraction=0.4)
            build_store(tiny.datasets(root), str(out), out.with_suffix(".work"), settings, executor, Silent())
            built[storage] = open_store(out)
    return built


def test_both_forms_of_storage_give_the_same_images(stores: dict[str, Store]) -> None:
    encoded, plain = (StoreRows(stores[name], "train") for name in ("encoded", "slices"))
    assert encoded.rows.tolist() == plain.rows.tolist()
    for row in encoded.rows:
        np.testing.assert_array_equal(encoded.image(int(row)), plain.image(int(row)))
    again = StoreRows(stores["slices"], "train", order=2)
    assert again.image(int(again.rows[3])).shape == (3, tiny.SIZE, tiny.SIZE)
    with pytest.raises(TrainError, match="only a store built with --storage slices"):
        StoreRows(stores["encoded"], "train", order=2)


def test_batches_are_a_function_of_seed_and_epoch(stores: dict[str, Store]) -> None:
    data = StoreTraining([stores["encoded"]], prompts=4)
    whole = list(data.batches(3, 1, WHOLE, 0))
    assert len(whole) == len(data) // 8
    assert [b.samples for b in data.batches(3, 1, WHOLE, 2)] == [b.samples for b in whole[2:]]
    shares = [Share(8, rank, 2, 2) for rank in (0, 1)]
    parts = [list(data.batches(3, 1, share, 0)) for share in shares]
    for step, batch in enumerate(whole):
        pieces = [piece for part in parts for piece in part[2 * step : 2 * step + 2]]
        assert [s for piece in pieces for s in piece.samples] == list(batch.samples)
        assert [p for piece in pieces for p in piece.prompts] == list(batch.prompts)
        np.testing.assert_array_equal(np.concatenate([p.masks for p in pieces]), batch.masks)
    assert [b.samples for b in data.batches(3, 2, WHOLE, 0)] != [b.samples for b in whole]


def test_masks_are_of_the_prompts_and_absent_classes_are_empty(stores: dict[str, Store]) -> None:
    store = stores["encoded"]
    data = StoreTraining([store], prompts=3)
    rows = data.parts[0]
    seen = set()
    for batch in data.batches(0, 0, WHOLE, 0):
        for number, masks, prompts in zip(batch.samples, batch.masks.numpy(), batch.prompts, strict=True):
            row = int(rows.rows[number])
            labels = rows.labels(row)
            shown = {entry.prompts[0]: entry for entry in rows.feasible(row)}
            for mask, prompt in zip(masks, prompts, strict=True):
                entry = next(e for e in shown.values() if prompt in e.prompts)
                np.testing.assert_array_equal(mask, np.isin(labels, entry.ids))
                seen.add((entry.name, bool(mask.any())))
    assert seen >= {("tiny/box", True), ("tiny/box", False), ("tiny/both", True)}


def test_a_class_is_asked_for_only_where_its_window_shows_it(stores: dict[str, Store]) -> None:
    rows = StoreRows(stores["encoded"], "train")
    lung = next(int(r) for r in rows.rows if rows.renditions[r] == "lung")
    assert [entry.name for entry in rows.feasible(lung)] == ["tiny/left ball"]


def test_positives_are_counted_in_the_split(stores: dict[str, Store]) -> None:
    data = StoreTraining([stores["encoded"]])
    rows = data.parts[0]
    for dataset in rows.classes.values():
        for entry in dataset:
            own = [r for r in rows.rows if np.isin(rows.labels(int(r)), entry.ids).any()]
            shown = [r for r in own if entry in rows.feasible(int(r))]
            assert data.positives[entry.name] == len(shown)


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
        assert parts[0].masks.shape[1] == len(case.classes) == len(case.prompts) == 3


def test_stores_made_differently_do_not_mix(stores: dict[str, Store]) -> None:
    assert len(StoreTraining(list(stores.values()))) == 2 * len(StoreTraining([stores["slices"]]))
    other = stores["slices"].manifest.model_copy(
        update={"settings": stores["slices"].settings.model_copy(update={"boundary": "mirror"})}
    )
    with pytest.raises(TrainError, match="must be made alike"):
        StoreTraining([stores["encoded"], Store(stores["slices"].files, other)])


def test_items_made_ahead_come_in_order_and_errors_come_through() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise OSError("disk gone")

    made = ahead(items())
    assert [next(made) for _ in range(5)] == list(range(5))
    with pytest.raises(OSError, match="disk gone"):
        next(made)
    stopped = ahead(iter(range(1000)))
    assert next(stopped) == 0
    stopped.close()  # type: ignore[attr-defined]
