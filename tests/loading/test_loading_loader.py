"""Reading ahead by threads, and memory that is used again."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from fve_pipeline.loading import (
    Loader,
    Recipe,
    SliceDataset,
    Tempered,
    prefetch,
)
from fve_pipeline.loading.buffers import BufferPool, in_shared_memory

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
