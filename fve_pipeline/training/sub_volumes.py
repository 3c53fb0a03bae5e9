"""Sub-volumes out of committed stores, in an order that is a function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fve_pipeline.bio2vol.network import PathLayout
from fve_pipeline.bio2vol.objective import SubVolumes
from fve_pipeline.bio2vol.sampling import draw_classes, sequence_runs, sub_volume
from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.errors import TrainError
from fve_pipeline.loading import Ticket, prefetch
from fve_pipeline.loading.prompts import class_mask
from fve_pipeline.loading.share import Batch, Share
from fve_pipeline.segmenter.randomness import combine_keys
from fve_pipeline.store.reader import Store
from fve_pipeline.training.config import DataSettings
from fve_pipeline.training.store import STRATEGIES, StoreTraining

__all__ = ["SubVolumeTraining"]


class SubVolumeTraining(StoreTraining):
    """Sub-volumes of the stores' split ``train``, centred on slices that hold the first prompted class.

    A sample is a sub-volume. Every slice that holds a class is a centre; an epoch takes one in ``depth`` of
    them, so that it reads about as many slices as there are, and the next goes on with the others.

    Raises
    ------
    TrainError
        For augmentation, which is not defined over sequences here, or when no slice holds a class.
    """

    def __init__(
        self,
        stores: Sequence[Store],
        settings: DataSettings,
        bio2vol: Bio2VolSettings,
        seed: int = 0,
        cases: Collection[str] = (),
    ) -> None:
        if settings.augment != "none":
            msg = f"[data] augment = {settings.augment!r}: bio2vol trains on slices as they are; set it to 'none'"
            raise TrainError(msg)
        super().__init__(stores, settings, seed, cases)
        self.bio2vol, self.prompts, self.seed = bio2vol, settings.prompts, seed
        index = self.dataset.index
        self.runs = sequence_runs(index, [store.index for store in stores])
        self.centres = self._centres()
        self.sampler = replace(
            self.sampler,
            chosen=self.centres,
            strategy=STRATEGIES[settings.sampling],
            length=max(1, len(self.centres) // bio2vol.depth),
        )
        self.settings = {**self.settings, "bio2vol": bio2vol.model_dump()}

    def batches(self, epoch: int, share: Share, start: int) -> Iterator[Batch]:
        """See :class:`fve_pipeline.training.data.TrainingData`; the pieces are :class:`SubVolumes`."""
        state = replace(self.sampler.start(share.batch, epoch), consumed=start * share.batch)
        parts = self.sampler.batches(state, share.rank, share.world)
        pieces = (part[i : i + share.micro] for part in parts for i in range(0, len(part), share.micro))
        loaded = prefetch(self.read, pieces, self.threads)
        with closing(loaded):
            yield from loaded

    def read(self, numbers: Sequence[int]) -> SubVolumes:
        """The sub-volumes of the sampler's tickets."""
        tickets = [Ticket.of(number) for number in numbers]
        centres = self.centres[[ticket.sample for ticket in tickets]].tolist()
        cuts = [sub_volume(c - self.bio2vol.depth // 2, self.runs.of_row(c), self.bio2vol) for c in centres]
        size, total = self.dataset.sources[0].size, sum(len(cut.rows) for cut in cuts)
        images = np.empty((total, size, size, 3), np.uint8)
        masks = torch.empty((total, self.prompts, size, size), dtype=self.dataset.assembler.mask_type)
        prompts, samples, slices, first = list[list[str]](), list[int](), list[int](), 0
        for ticket, centre, cut in zip(tickets, centres, cuts, strict=True):
            part = slice(first, first + len(cut.rows))
            first = part.stop
            prompts.append(self._read(centre, ticket, cut.rows, images[part], masks[part].numpy()))
            samples.append(ticket.time * len(self.dataset.index) + centre)
            slices += [combine_keys(samples[-1], row) for row in cut.rows]
        layout = PathLayout.of([cut.places for cut in cuts], self.bio2vol)
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
        return SubVolumes(pixels, masks, prompts, samples, slices, layout)

    def _centres(self) -> NDArray[np.int64]:
        """Chosen samples that hold a class which they may be asked for."""
        index = self.dataset.index
        rows, classes = index.positive_sample, index.positive_class
        kinds = np.stack([index.store[rows], index.dataset[rows], index.rendition[rows]], axis=1)
        shown = np.zeros(len(rows), bool)
        for kind in np.unique(kinds, axis=0):
            own = np.flatnonzero((kinds == kind).all(axis=1))
            entries = self.dataset.assembler.feasible(int(rows[own[0]]))
            shown[own] = np.isin(classes[own], [entry.class_id for entry in entries])
        found: NDArray[np.int64] = np.intersect1d(rows[shown], self.dataset.chosen)
        if not len(found):
            msg = "no training slice holds a class of the catalog: bio2vol has no sub-volume to centre"
            raise TrainError(msg)
        return found

    def _held(self, sample: int) -> set[int]:
        """Classes that a sample holds."""
        index = self.dataset.index
        low, high = np.searchsorted(index.positive_sample, [sample, sample + 1])
        return set(index.positive_class[low:high].tolist())

    def _read(
        self, centre: int, ticket: Ticket, rows: Sequence[int], images: NDArray[Any], masks: NDArray[Any]
    ) -> list[str]:
        """Fill ``images`` and ``masks`` with samples ``rows``; the prompts that they are asked."""
        assembler, index = self.dataset.assembler, self.dataset.index
        number, _ = assembler.locate(centre)
        source, offset = assembler.sources[number], int(index.offsets[number])
        own = [row - offset for row in rows]
        run = index.runs.of_row(centre)  # encoding sees the whole run
        source.images(own, [range(run.start - offset, run.stop - offset)] * len(own), images)
        labels = source.store.mask_rows.take(own)

        entries = assembler.feasible(centre)
        key = (self.seed, ticket.epoch, centre, ticket.time)
        picked, words = draw_classes(
            self._held(centre), [entry.class_id for entry in entries], self.prompts, key
        )
        asked = [entries[place] for place in picked]
        for label, target in zip(labels, masks, strict=True):
            for entry, out in zip(asked, target, strict=True):
                class_mask(label, entry, out)
        return [e.words[w % len(e.words)] for e, w in zip(asked, words.tolist(), strict=True)]
