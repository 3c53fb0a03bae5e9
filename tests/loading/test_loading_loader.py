"""Reading ahead by threads, memory that is used again, and the trainer's view of stores."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from fve_pipeline.loading import (
    Loader,
    Recipe,
    SliceDataset,
    StoreTrainingData,
    StoreValidationData,
    Tempered,
    prefetch,
)
from fve_pipeline.loading.buffers import BufferPool, in_shared_memory
from fve_pipeline.store.reader import open_store
from fve_pipeline.train_data import Share

Stores = dict[str, Path]


def dataset(stores: Stores, name: str = "slices") -> SliceDataset:
    return SliceDataset(stores[name], prompts=2, augment=Recipe())


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_make_no_difference(stores: Stores, threads: int) -> None:
    data = dataset(stores)
    sampler = data.sampler(Tempered(0.5))
    expected = [data.read(numbers) for numbers in sampler.batches(sampler.start(8))]
    loader = Loader(data, sampler, batch=8, threads=threads)
    assert len(loader) == len(expected)
    for found, wanted in zip(loader, expected, strict=True):
        assert torch.equal(found.images, wanted.images)
        assert torch.equal(found.masks, wanted.masks)
        assert found.prompts == wanted.prompts
    assert (loader.state.epoch, loader.state.consumed) == (1, 0)


def test_a_loader_goes_on_from_its_state_with_other_ranks(stores: Stores) -> None:
    data = dataset(stores)
    whole = Loader(data, batch=8)
    every = [batch.samples for batch in whole]
    stopped = Loader(data, batch=8)
    for step, _ in enumerate(stopped, start=1):
        if step == 5:
            break
    parts = []
    for rank in range(2):
        loader = Loader(dataset(stores, "encoded"), batch=8, rank=rank, world=2, threads=1)
        loader.state = stopped.state
        parts.append([batch.samples for batch in loader])
    assert [a + b for a, b in zip(*parts, strict=True)] == every[5:]
    assert [batch.samples for batch in whole] != every  # the next epoch


def test_memory_is_used_again_but_never_while_it_is_held(stores: Stores) -> None:
    data = SliceDataset(stores["slices"])
    sampler = data.sampler()
    expected = [data.read(numbers).images for numbers in sampler.batches(sampler.start(4))]
    loader = Loader(data, batch=4, pinned=False)
    kept, places = [], set()
    for step, batch in enumerate(loader):
        places.add(batch.images.data_ptr())
        if step % 5 == 0:
            kept.append((step, batch.images[1:3]))  # a view is enough to hold it
        del batch
    assert len(places) < len(kept) + 12
    for step, held in kept:
        assert torch.equal(held, expected[step][1:3])


def test_a_pool_gives_memory_that_nobody_holds() -> None:
    pool = BufferPool()
    first, second = pool((4, 4), torch.uint8), pool((4, 4), torch.uint8)
    assert first.data_ptr() != second.data_ptr()
    place, view = first.data_ptr(), first[1:].permute(1, 0).numpy()
    del first
    assert pool((4, 4), torch.uint8).data_ptr() != place
    del view
    assert pool((4, 4), torch.uint8).data_ptr() == place
    assert pool((2, 2), torch.int32).data_ptr() != place


def test_shared_memory_is_shared() -> None:
    tensor = in_shared_memory((2, 3), torch.int32)
    assert tensor.is_shared()
    assert tensor.shape == (2, 3)


def test_an_error_is_raised_in_its_turn_and_threads_end() -> None:
    def read(numbers: list[int]) -> list[int]:
        if 3 in numbers:
            msg = "damaged"
            raise OSError(msg)
        return numbers

    batches = prefetch(read, [[n] for n in range(8)], threads=2)  # type: ignore[arg-type,type-var]
    assert [next(batches) for _ in range(3)] == [[0], [1], [2]]
    with pytest.raises(OSError, match="damaged"):
        next(batches)
    assert not any(t.name.startswith("fve-prefetch") for t in threading.enumerate())


def test_leaving_an_epoch_early_ends_the_threads(stores: Stores) -> None:
    batches = iter(Loader(dataset(stores), batch=4))
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert not any(t.name.startswith("fve-prefetch") for t in threading.enumerate())


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_trainer_gets_the_same_global_batches(stores: Stores, world: int, accumulate: int) -> None:
    data = StoreTrainingData(dataset(stores))
    alone = [batch.samples for batch in data.batches(7, 1, Share(8, 0, 1, 1), 2)]
    shares = [Share(8, rank, world, accumulate) for rank in range(world)]
    pieces = [[b.samples for b in data.batches(7, 1, share, 2)] for share in shares]
    joined = [
        [s for rank in range(world) for piece in pieces[rank][i : i + accumulate] for s in piece]
        for i in range(0, len(pieces[0]), accumulate)
    ]
    assert joined == alone
    assert len(alone) == len(data) // 8 - 2
    assert alone != [batch.samples for batch in data.batches(8, 1, Share(8, 0, 1, 1), 2)]


def test_the_trainer_learns_what_the_data_are(stores: Stores) -> None:
    data = StoreTrainingData(SliceDataset(stores["slices"], prompts=2, order=2))
    assert data.settings == {"order": 2, "boundary": "repeat", "resize": "opencv", "size": 32}
    store = open_store(stores["slices"])
    rows = [row for row in store.index.to_pylist() if row["split"] == "train"]
    ids = {f"{c['dataset']}/{c['name']}": (c["dataset"], c["class_id"]) for c in store.classes.to_pylist()}
    assert data.positives == {
        name: sum(row["dataset"] == d and c in row["class_ids"] for row in rows)
        for name, (d, c) in ids.items()
    }


def test_validation_gives_whole_cases_with_all_their_classes(stores: Stores) -> None:
    chosen = SliceDataset(stores["slices"], split="val", prompts=4, augment=Recipe())
    data = StoreValidationData(chosen)
    store = open_store(stores["encoded"])
    index = store.index.to_pylist()
    total = 0
    for number in range(len(data)):
        case = data.case(number)
        parts = list(case.slices(5))
        assert [part.first for part in parts] == list(range(0, sum(len(p.images) for p in parts), 5))
        images = torch.cat([part.images for part in parts])
        masks = torch.cat([part.masks for part in parts])
        rows = [
            i for i, row in enumerate(index) if f"{row['case']} {row['rendition']} {row['view']}" == case.name
        ]
        assert {index[i]["split"] for i in rows} == {"val"}
        assert {index[i]["subject"] for i in rows} == {case.subject}
        expected = np.stack([store.images[i] for i in rows])
        assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), expected)
        assert masks.shape[1] == len(case.classes) == len(case.prompts)
        held = set().union(*(index[i]["class_ids"] for i in rows))
        names = {f"{c['dataset']}/{c['name']}": c["class_id"] for c in store.classes.to_pylist()}
        for name, mask in zip(case.classes, masks.permute(1, 0, 2, 3), strict=True):
            assert bool(mask.any()) == (names[name] in held)
        total += len(rows)
    assert total == len(chosen)
