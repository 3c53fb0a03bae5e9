"""The dataset over real stores: both forms of storage, prompts, masks, batches, processes."""

from __future__ import annotations

import pickle
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from fve_pipeline.errors import LoadingError
from fve_pipeline.imaging.encoding import context_depth, encode
from fve_pipeline.loading import Batches, Recipe, SliceDataset, Ticket, collate
from fve_pipeline.loading.source import StoreImages
from fve_pipeline.store.reader import open_store

Stores = dict[str, Path]


def everything(store: Path, **options: Any) -> SliceDataset:
    return SliceDataset(store, split=(), **options)


def images(dataset: SliceDataset, numbers: Any) -> np.ndarray:
    return dataset.read(list(numbers)).images.permute(0, 2, 3, 1).numpy()


def test_a_lazy_store_gives_the_encoded_stores_images(stores: Stores) -> None:
    encoded, lazy = everything(stores["encoded"]), everything(stores["slices"])
    assert np.array_equal(images(lazy, range(len(lazy))), open_store(stores["encoded"]).images[:])
    assert np.array_equal(images(encoded, range(len(lazy))), open_store(stores["encoded"]).images[:])
    shuffled = np.random.default_rng(0).permutation(len(lazy))[:60]
    assert np.array_equal(images(lazy, shuffled), images(encoded, shuffled))


def test_a_lazy_store_is_encoded_with_any_order_and_boundary(stores: Stores) -> None:
    third = open_store(stores["third"])
    lazy = everything(stores["slices"], order=3, boundary="mirror")
    assert np.array_equal(images(lazy, range(len(lazy))), third.images[:])
    shuffled = np.random.default_rng(0).permutation(len(lazy))[:60]
    assert np.array_equal(images(lazy, shuffled), third.images[:][shuffled])
    flat = everything(stores["slices"], order=0)
    assert (images(flat, range(9)) == images(flat, range(9))[..., :1]).all()


def test_context_never_crosses_a_case_a_rendition_or_a_view(stores: Stores) -> None:
    lazy = everything(stores["slices"], order=2)
    slices = open_store(stores["slices"]).slices[:]
    assert len(lazy.index.runs) == 18
    for run in lazy.index.runs:
        expected = encode(np.ascontiguousarray(slices[run.start : run.stop]), 2)
        for place in {0, len(run) - 1, len(run) // 2}:
            assert np.array_equal(images(lazy, [run[place]])[0], expected[place])


@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_row_has_the_context_that_its_run_has(stores: Stores, order: int) -> None:
    store = open_store(stores["slices"])
    source, slices = StoreImages(store, order), store.slices[:]
    depth = context_depth(order)
    for run in everything(stores["slices"]).index.runs:
        for row in {run.start, run.start + 1, run.stop - 1}:
            low, high = max(run.start, row - depth), min(run.stop, row + depth + 1)
            slab, focal = source.slab(row, run)
            assert focal == row - low
            assert np.array_equal(slab, slices[low:high])


def test_an_encoded_store_has_the_order_it_was_built_with(stores: Stores) -> None:
    with pytest.raises(LoadingError, match=r"encoded with order 1.*3, 'repeat' was asked for"):
        everything(stores["encoded"], order=3)
    with pytest.raises(LoadingError, match="32 pixels cannot be encoded with order 8"):
        everything(stores["slices"], order=8)


def test_samples_are_chosen_by_the_index(stores: Stores) -> None:
    store = open_store(stores["encoded"])
    train, val = SliceDataset(store), SliceDataset(store, split="val")
    assert len(train) + len(val) == len(store)
    subjects = store.index.column("subject")
    assert not set(subjects.take(train.chosen).to_pylist()) & set(subjects.take(val.chosen).to_pylist())
    one = SliceDataset(store, split=(), cases=("demo_npz/npz_02",), views=("axial",))
    assert one[0]["image"].shape == (3, 32, 32)
    assert set(store.index.column("case").take(one.chosen).to_pylist()) == {"demo_npz/npz_02"}
    with pytest.raises(LoadingError, match=r"no sample of .* has all of"):
        SliceDataset(store, split=(), cases=("demo_npz/npz_02",), datasets=("demo_ct",))


@pytest.mark.parametrize("order", [None, 0])
@pytest.mark.parametrize("storage", ["encoded", "slices"])
def test_one_sample_is_what_a_batch_holds(stores: Stores, storage: str, order: int | None) -> None:
    dataset = SliceDataset([stores[storage], stores[storage]], order=order)
    numbers = [0, len(dataset) - 1, Ticket(3, epoch=1, time=2).number]
    for number in numbers:
        one, (other,) = dataset[number], dataset.__getitems__([number])
        assert set(one) == set(other)
        assert one["sample"] == other["sample"]
        for name in ("image", "mask"):
            assert torch.equal(one[name], other[name])
            assert one[name].stride() == other[name].stride()
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_without_prompts_the_mask_is_the_stores(stores: Stores) -> None:
    dataset = everything(stores["encoded"])
    batch = dataset.read(range(len(dataset)))
    assert batch.masks.dtype == torch.int32
    assert np.array_equal(batch.masks.numpy(), open_store(stores["encoded"]).masks[:])
    assert batch.masks.max() > 255
    assert batch.prompts == []


def test_prompts_come_from_the_datasets_own_classes_and_masks_are_theirs(stores: Stores) -> None:
    dataset = everything(stores["encoded"], prompts=4)
    plain = everything(stores["encoded"])
    table = {
        f"{row['dataset']}/{row['name']}": row for row in open_store(stores["encoded"]).classes.to_pylist()
    }
    batch, masks = dataset.read(range(len(dataset))), plain.read(range(len(plain))).masks.numpy()
    rows = open_store(stores["encoded"]).index.to_pylist()
    seen = set()
    for i, (row, mask) in enumerate(zip(rows, masks, strict=True)):
        names = batch.classes[i]
        feasible = {
            name
            for name, spec in table.items()
            if spec["dataset"] == row["dataset"]
            and (not spec["renditions"] or row["rendition"] in spec["renditions"])
        }
        assert set(names) <= feasible
        assert len(names) == 4
        assert len(set(names)) == 4 or len(feasible) < 4  # drawn again only where there are too few
        for name, prompt, found in zip(names, batch.prompts[i], batch.masks[i].numpy(), strict=True):
            spec = table[name]
            assert prompt in spec["prompts"]
            expected = mask if spec["instance"] else np.isin(mask, spec["ids"])
            assert np.array_equal(found, expected)
            assert found.any() == (spec["class_id"] in row["class_ids"])
            seen.add((name, bool(found.any())))
    assert ("demo_ct/kidneys", True) in seen
    assert ("demo_ct/kidneys", False) in seen


def test_prompts_depend_on_seed_epoch_and_sample_alone(stores: Stores) -> None:
    one = everything(stores["encoded"], prompts=3)
    epoch = [Ticket(i, epoch=2).number for i in range(30)]
    together = one.read(epoch).prompts
    assert [one.read([number]).prompts[0] for number in reversed(epoch)] == list(reversed(together))
    lazy = everything(stores["slices"], prompts=3)
    assert lazy.read(epoch).prompts == together
    assert one.read(range(30)).prompts != together
    assert one.read([Ticket(i, 2, 1).number for i in range(30)]).prompts != together
    assert everything(stores["encoded"], prompts=3, seed=1).read(epoch).prompts != together


def test_stores_are_numbered_through(stores: Stores) -> None:
    both = SliceDataset([stores["encoded"], stores["slices"]], split=(), prompts=2)
    half = len(both) // 2
    mixed = [3, half + 3, half + 4, 5, half + 40]
    alone = images(everything(stores["encoded"]), [3, 3, 4, 5, 40])
    assert np.array_equal(images(both, mixed), alone)
    assert both.read([half + 3]).samples == [half + 3]
    with pytest.raises(LoadingError, match=r"order 1 and .* 3: one batch cannot hold both"):
        SliceDataset([stores["encoded"], stores["third"]])


def test_content_is_equal_for_both_forms_and_differs_by_choice(stores: Stores) -> None:
    assert everything(stores["encoded"]).content_id == everything(stores["slices"]).content_id
    assert everything(stores["encoded"]).content_id != SliceDataset(stores["encoded"]).content_id


def test_a_dataloader_takes_it_as_it_is(stores: Stores) -> None:
    loader = DataLoader(SliceDataset(stores["slices"]), batch_size=6, shuffle=True, num_workers=0)
    batch = next(iter(loader))
    assert batch["image"].shape == (6, 3, 32, 32)
    assert batch["mask"].shape == (6, 32, 32)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_give_what_threads_give(stores: Stores, method: str) -> None:
    dataset = SliceDataset(stores["slices"], prompts=2, augment=Recipe())
    dataset[0]  # read before the fork: nothing of the parent may be used in the child
    sampler = dataset.sampler()
    batches = Batches(sampler, sampler.start(16))
    loader = DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=1 + (method == "fork"),
        multiprocessing_context=method,
    )
    expected = [dataset.read(numbers) for numbers in batches]
    assert len(batches) == len(expected)
    for found, wanted in zip(loader, expected, strict=True):
        assert torch.equal(found.images, wanted.images)
        assert torch.equal(found.masks, wanted.masks)
        assert found.prompts == wanted.prompts
        assert found.images.is_shared()


def _read_in_child(dataset: SliceDataset, connection: Any) -> None:
    connection.send(dataset.read([4]).images.numpy())


def test_a_fork_after_a_read_reads_for_itself(stores: Stores) -> None:
    dataset = everything(stores["slices"])
    expected = dataset.read([4]).images.numpy()
    context = get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_read_in_child, args=(dataset, theirs))
    child.start()
    assert ours.poll(60)
    assert np.array_equal(ours.recv(), expected)
    child.join()


def test_a_dataset_is_picklable_after_use(stores: Stores) -> None:
    dataset = everything(stores["slices"], prompts=2)
    expected = dataset.read([1, 2])
    again = pickle.loads(pickle.dumps(dataset)).read([1, 2])
    assert torch.equal(again.images, expected.images)
    assert again.prompts == expected.prompts
