"""Stores as the trainer takes them: batches to learn from, whole cases to validate on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from fve_pipeline.loading.assemble import Assembler
from fve_pipeline.loading.buffers import BufferPool, fresh
from fve_pipeline.loading.dataset import SliceDataset
from fve_pipeline.loading.loader import prefetch
from fve_pipeline.loading.prompts import ClassEntry, class_mask
from fve_pipeline.loading.sampler import Ticket
from fve_pipeline.loading.strategies import Once, Strategy
from fve_pipeline.train_data import Batch, CaseSlices, Share, ValidationCase

__all__ = ["StoreTrainingData", "StoreValidationCase", "StoreValidationData"]


class StoreTrainingData:
    """A dataset with prompts, in the protocol of ``fve_pipeline.train_data.TrainingData``.

    ``threads`` read ahead of the step. The order, the prompts and the augmentations are functions of the seed
    that the trainer gives, and not of the number of ranks.
    """

    def __init__(self, dataset: SliceDataset, strategy: Strategy | None = None, threads: int = 2) -> None:
        self.dataset = dataset
        self._strategy = strategy or Once()
        self._threads = threads
        self._memory = BufferPool(torch.cuda.is_available())

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Order, boundary, resize and size of the images."""
        source = self.dataset.sources[0]
        resize = source.store.settings.resize
        return {"order": source.order, "boundary": source.boundary, "resize": resize, "size": source.size}

    @cached_property
    def content_id(self) -> str:
        """Equal for equal samples, wherever they lie."""
        return self.dataset.content_id

    @cached_property
    def positives(self) -> Mapping[str, int]:
        """Samples that hold each class, by "dataset/class"; 0 for classes that none holds."""
        index, chosen = self.dataset.index, np.zeros(len(self.dataset.index), bool)
        chosen[self.dataset.chosen] = True
        present = {index.names["dataset"][code] for code in np.unique(index.dataset[chosen])}
        counts: dict[str, int] = {}
        for (_, dataset), entries in self.dataset.assembler.classes.classes.items():
            if dataset in present:
                for entry, _ in entries:
                    found = index.holding(entry.class_id, dataset)
                    counts[f"{dataset}/{entry.name}"] = int(chosen[found].sum())
        return counts

    def batches(self, seed: int, epoch: int, share: Share, start: int) -> Iterator[Batch]:
        """This rank's pieces of the epoch's global batches from step ``start`` on."""
        sampler = self.dataset.sampler(self._strategy, seed=seed)
        order = sampler.epoch(epoch)
        steps = range(start, len(order) // share.batch)
        whole = (order[step * share.batch : (step + 1) * share.batch].tolist() for step in steps)
        pieces = (piece for rows in whole for piece in share.pieces(rows))
        seeded = self.dataset.with_seed(seed)
        return prefetch(lambda numbers: seeded.read(numbers, self._memory), pieces, self._threads)


@dataclass(frozen=True)
class StoreValidationCase:
    """One volume in one rendition and view, with the prompts of the classes that it shows."""

    reader: Assembler
    places: range
    entries: tuple[ClassEntry, ...]

    @property
    def _row(self) -> Mapping[str, str]:
        index, first = self.reader.index, self.places[0]
        names = ("dataset", "case", "rendition", "view")
        return {name: index.names[name][getattr(index, name)[first]] for name in names}

    @property
    def name(self) -> str:
        row = self._row
        return f"{row['case']} {row['rendition']} {row['view']}"

    @property
    def subject(self) -> str:
        store, row = self.reader.locate(self.places[0])
        return str(self.reader.sources[store].store.index.column("subject")[row].as_py())

    @property
    def classes(self) -> Sequence[str]:
        """P names, "dataset/class"."""
        return [f"{self._row['dataset']}/{entry.name}" for entry in self.entries]

    @property
    def prompts(self) -> Sequence[str]:
        """P prompts: the first that each class has."""
        return [entry.prompts[0] for entry in self.entries]

    @property
    def depth(self) -> int:
        """How many slices it has."""
        return len(self.places)

    def slices(self, count: int) -> Iterator[CaseSlices]:
        """All slices in order, at most ``count`` at a time."""
        for start in range(0, len(self.places), count):
            part = self.places[start : start + count]
            batch = self.reader.read(part, [Ticket(0)] * len(part), fresh)
            side = batch.masks.shape[-1]
            masks = torch.empty((len(part), len(self.entries), side, side), dtype=batch.masks.dtype)
            for mask, target in zip(batch.masks.numpy(), masks.numpy(), strict=True):
                for entry, out in zip(self.entries, target, strict=True):
                    class_mask(mask, entry, out)
            yield CaseSlices(batch.images, masks, start)


class StoreValidationData:
    """Cases of a dataset, in the protocol of ``fve_pipeline.train_data.ValidationData``.

    A case with several renditions or views counts as several, each with the classes that it shows.
    """

    def __init__(self, dataset: SliceDataset) -> None:
        self._reader = replace(dataset.assembler, prompts=None, augment=None)
        wanted = np.zeros(len(dataset.index), bool)
        wanted[dataset.chosen] = True
        starts = dataset.index.starts
        self._starts = starts[wanted[starts]]

    def __len__(self) -> int:
        return len(self._starts)

    def case(self, number: int) -> ValidationCase:
        start, stop = self._reader.index.run(int(self._starts[number]))
        return StoreValidationCase(self._reader, range(start, stop), self._reader.feasible(start))
