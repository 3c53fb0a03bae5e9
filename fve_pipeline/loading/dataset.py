"""A map-style torch dataset over one or several stores."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset, get_worker_info

from fve_pipeline.errors import LoadingError
from fve_pipeline.loading.assemble import Assembler
from fve_pipeline.loading.augment import Recipe
from fve_pipeline.loading.batch import LoadedBatch, Samples
from fve_pipeline.loading.buffers import Allocate, BufferPool, in_shared_memory
from fve_pipeline.loading.findings import FindingMix, Sentences
from fve_pipeline.loading.prompts import PromptTable, Wordings
from fve_pipeline.loading.sampler import Sampler, Ticket
from fve_pipeline.loading.samples import SampleIndex
from fve_pipeline.loading.source import StoreImages
from fve_pipeline.loading.strategies import Once, Strategy
from fve_pipeline.store.reader import Store, open_store

__all__ = ["Location", "SliceDataset", "require_alike"]

Location = Store | str | Path


class SliceDataset(Dataset[dict[str, Any]]):
    """Samples of one or several stores, encoded or lazy, chosen by their index.

    ``dataset[i]`` is the i-th chosen sample; a sampler's ticket also says for which epoch. ``__getitems__``
    reads a batch in one piece, and with ``collate`` a DataLoader copies nothing.

    Parameters
    ----------
    stores
        A store, its location, or several. They must agree in size, order and boundary rule.
    split, views, datasets, cases
        Names to choose samples by; an empty choice takes all. ``cases`` are ids such as "dataset/name", as a
        coreset's selection lists them.
    prompts
        How many classes to ask for each sample, drawn from those its dataset has and its rendition shows, one
        random prompt each; absent ones have an empty mask. None gives the mask as it is stored.
    augment
        Augmentations; None for none. Those within slices need the slices, which an encoded store of order 2
        or more no longer has apart.
    findings
        Which share of the questions is about the case's own findings, and about those of others that it does not have.
        None asks for classes alone.
    wordings
        What else a class may be called, by its name: its prompts are then also asked in these words. A function that can
        be pickled, such as ``fve_pipeline.catalog.lexicon.wordings``, which leaves out those of a test of robustness.
    order, boundary
        How to encode a lazy store; by default as its settings say.
    seed
        Of prompts and augmentations. They depend on (seed, epoch, sample) alone.

    Raises
    ------
    LoadingError
        When nothing is chosen, stores do not mix, or an augmentation cannot be done right.
    """

    def __init__(
        self,
        stores: Location | Sequence[Location],
        *,
        split: Collection[str] | str = ("train",),
        views: Collection[str] | str = (),
        datasets: Collection[str] | str = (),
        cases: Collection[str] | str = (),
        prompts: int | None = None,
        augment: Recipe | None = None,
        order: int | None = None,
        boundary: str | None = None,
        seed: int = 0,
        findings: FindingMix | None = None,
        wordings: Wordings | None = None,
    ) -> None:
        listed = [stores] if isinstance(stores, (Store, str, Path)) else list(stores)
        opened = [s if isinstance(s, Store) else open_store(s) for s in listed]
        self.sources = [StoreImages(store, order, boundary) for store in opened]
        require_alike(self.sources)
        if augment is not None and not augment.only_swap:
            _require_slices(self.sources)
        self.index = SampleIndex.of([store.index for store in opened])
        splits, views, datasets, cases = (
            (names,) if isinstance(names, str) else names for names in (split, views, datasets, cases)
        )
        self.chosen = self.index.where(split=splits, view=views, dataset=datasets, case=cases)
        if not len(self.chosen):
            asked = {"split": tuple(splits), "views": views, "datasets": datasets, "cases": len(cases)}
            msg = f"no sample of {', '.join(s.files.url for s in opened)} has all of {asked}"
            raise LoadingError(msg)
        self.seed = seed
        self._memory = BufferPool()
        table = PromptTable(tuple(store.class_table for store in opened))
        if wordings is not None:
            table = table.worded(wordings)
        sentences = Sentences(opened)
        mixed = None if findings is None or prompts is None or not sentences else (sentences, findings)
        self.assembler = Assembler(self.sources, self.index, table, prompts, augment, seed, mixed)

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def content_id(self) -> str:
        """Names the chosen samples and their pixels, wherever they lie and however they are stored."""
        digest = hashlib.sha256()
        for source in self.sources:
            digest.update(source.store.manifest.content_id.encode())
        digest.update(np.ascontiguousarray(self.chosen, "<i8").data)
        return digest.hexdigest()

    def sampler(self, strategy: Strategy | None = None, **options: Any) -> Sampler:
        """Return a sampler of this dataset's samples; ``options`` are those of ``Sampler``."""
        known: dict[str, Any] = {"seed": self.seed, "content": self.content_id} | options
        return Sampler(self.index, self.chosen, strategy or Once(), **known)

    def __getitem__(self, number: int) -> dict[str, Any]:
        if number < 0:
            msg = f"sample {number}: samples are counted from 0"
            raise IndexError(msg)
        if not self.assembler.plain or get_worker_info() is not None:
            return self.__getitems__([number])[0]
        ticket = Ticket.of(int(number))
        place = int(self.chosen[ticket.sample])
        image, mask = self.assembler.read_one(place, self._memory)
        return {"image": image, "sample": self.assembler.number(place, ticket), "mask": mask}

    def __getitems__(self, numbers: Sequence[int]) -> Samples:
        return Samples(self.read(numbers, None if get_worker_info() is None else in_shared_memory))

    def read(self, numbers: Sequence[int], allocate: Allocate | None = None) -> LoadedBatch:
        """Return a batch of samples or tickets, in memory that ``allocate`` gives. Safe across threads.

        By default that is memory of an earlier batch, if nothing of it is held any more.
        """
        tickets = [Ticket.of(int(number)) for number in numbers]
        places = self.chosen[[ticket.sample for ticket in tickets]].tolist()
        return self.assembler.read(places, tickets, allocate or self._memory)


def require_alike(sources: Sequence[StoreImages]) -> None:
    """Raise LoadingError when there are none, or images of one would not fit into a batch of another's."""
    if not sources:
        msg = "no stores given"
        raise LoadingError(msg)
    first = sources[0]
    for source in sources[1:]:
        for what in ("size", "order", "boundary"):
            ours, theirs = getattr(first, what), getattr(source, what)
            if ours != theirs:
                msg = (
                    f"{first.store.files.url} has {what} {ours!r} and {source.store.files.url} {theirs!r}: one batch "
                    "cannot hold both"
                )
                raise LoadingError(msg)


def _require_slices(sources: Sequence[StoreImages]) -> None:
    for source in sources:
        if not source.lazy and source.order > 1:
            msg = (
                f"{source.store.files.url} is encoded with order {source.order}: its pixels interleave slices of "
                "several resolutions, so rotating, flipping, cropping or adding noise would mix them. Augment a store "
                "built with --storage slices, or of order 1, or switch off all but swap"
            )
            raise LoadingError(msg)
