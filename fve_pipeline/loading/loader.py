"""Batches ahead of their use, by threads: no worker processes, nothing copied between processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from fve_pipeline.loading.batch import LoadedBatch
from fve_pipeline.loading.buffers import BufferPool
from fve_pipeline.loading.dataset import SliceDataset
from fve_pipeline.loading.sampler import Sampler, SamplerState
from fve_pipeline.runtime.threads import prefetch

__all__ = ["Loader", "prefetch"]


class Loader:
    """Batches of a dataset, an epoch at a time, read ahead by threads.

    Each iteration goes on from ``state`` to the end of its epoch, and sets it to what has been handed out, so
    ``loader.state`` after a step is what a checkpoint keeps. Restored into a loader of any number of ranks and
    threads, it gives the batches that were left, in the same order.

    Parameters
    ----------
    dataset, sampler
        What to read, and in which order; ``dataset.sampler()`` by default.
    batch
        The global batch, over all ranks. An unfilled last one is left out.
    rank, world
        Which part of each global batch to read.
    threads, ahead
        Threads that read, and batches that wait beside those being read. Memory is theirs, and that of batches
        the caller still holds.
    pinned
        Batches in pinned memory, for copying to a GPU; by default when there is one.
    """

    def __init__(
        self,
        dataset: SliceDataset,
        sampler: Sampler | None = None,
        *,
        batch: int,
        rank: int = 0,
        world: int = 1,
        threads: int = 2,
        ahead: int = 2,
        pinned: bool | None = None,
    ) -> None:
        self.dataset = dataset
        self.sampler = sampler or dataset.sampler()
        self.state: SamplerState = self.sampler.start(batch)
        self._part = (rank, world)
        self._threads = threads
        self._ahead = ahead
        self._memory = BufferPool(torch.cuda.is_available() if pinned is None else pinned)

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self.sampler) // self.state.batch

    def __iter__(self) -> Iterator[LoadedBatch]:
        batches = self.sampler.batches(self.state, *self._part)
        for loaded in prefetch(self._read, batches, self._threads, self._ahead):
            self.state = self.sampler.after(self.state)
            yield loaded

    def _read(self, numbers: Sequence[int]) -> LoadedBatch:
        return self.dataset.read(numbers, self._memory)
