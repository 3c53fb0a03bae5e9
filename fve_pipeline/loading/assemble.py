"""Putting a batch together: pixels, masks, prompts and augmentations of some samples."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fve_kernels.cpu_rows import swap_context
from fve_pipeline.loading.augment import Change, Recipe, draw_change
from fve_pipeline.loading.batch import LoadedBatch
from fve_pipeline.loading.buffers import Allocate, BufferPool
from fve_pipeline.loading.change import change_mask, change_slices
from fve_pipeline.loading.findings import FindingMix, Sentences, mix_findings
from fve_pipeline.loading.prompts import PromptTable, Question, ask, class_mask
from fve_pipeline.loading.sampler import Ticket
from fve_pipeline.loading.samples import SampleIndex
from fve_pipeline.loading.source import StoreImages
from fve_pipeline.store.class_table import ClassEntry

__all__ = ["Assembler"]

Row = tuple[int, int]  # a store, and a row of it


@dataclass(frozen=True)
class Assembler:
    """Reads samples by their place in the index. Picklable; safe across threads."""

    sources: Sequence[StoreImages]
    index: SampleIndex
    classes: PromptTable
    prompts: int | None
    augment: Recipe | None
    seed: int
    findings: tuple[Sentences, FindingMix] | None = None
    _local: Any = field(default_factory=threading.local, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        parts = (
            *(self.sources, self.index, self.classes, self.prompts, self.augment, self.seed),
            self.findings,
        )
        return Assembler, parts

    @cached_property
    def mask_type(self) -> torch.dtype:
        """Of the masks in a batch: torch can do little with uint16."""
        wide = any(source.store.settings.mask_dtype == "uint16" for source in self.sources)
        return torch.int32 if wide else torch.uint8

    def read(self, places: Sequence[int], tickets: Sequence[Ticket], allocate: Allocate) -> LoadedBatch:
        """Return the samples at ``places`` of the index, drawn with ``tickets``, in memory that ``allocate`` gives."""
        questions = self._questions(places, tickets)
        changes = [
            self._change(*drawn, questions) for drawn in zip(range(len(places)), places, tickets, strict=True)
        ]
        size = self.sources[0].size
        images = allocate((len(places), size, size, 3), torch.uint8)
        per_sample = () if self.prompts is None else (self.prompts,)
        masks = allocate((len(places), *per_sample, size, size), self.mask_type)
        rows = [self.locate(place) for place in places]
        self._read_images(places, rows, changes, images.numpy())
        for row, change, asked, target in zip(rows, changes, questions, masks.numpy(), strict=True):
            self._read_mask(row, change, asked, target)
        numbers = [self.number(*drawn) for drawn in zip(places, tickets, strict=True)]
        prompts, classes = self._words(places, questions)
        return LoadedBatch(images.permute(0, 3, 1, 2), masks, prompts, numbers, classes)

    @cached_property
    def plain(self) -> bool:
        """Whether samples are given as they are stored, so that one of them needs no batch around it."""
        return self.prompts is None and self.augment is None and self.mask_type == torch.uint8

    def read_one(self, place: int, memory: BufferPool) -> tuple[torch.Tensor, torch.Tensor]:
        """One sample where they are ``plain``: image (3, S, S) and mask (S, S), as a batch holds them."""
        store, row = self.locate(place)
        source = self.sources[store]
        size = source.size
        image = memory.array((size, size, 3), torch.uint8)
        mask = memory.array((size, size), torch.uint8)
        source.image(row, self._run(place) if source.lazy else None, image)
        source.store.mask_rows.decode(row, mask.reshape(-1))
        return torch.from_numpy(image.transpose(2, 0, 1)), torch.from_numpy(mask)

    def number(self, place: int, ticket: Ticket) -> int:
        """Of a draw: the same in every epoch and every run."""
        return ticket.time * len(self.index) + place

    def feasible(self, place: int) -> tuple[ClassEntry, ...]:
        """Classes that the sample may be asked for."""
        store, dataset, rendition = self._origin(place)
        return self.classes.feasible(store, dataset, rendition)

    def locate(self, place: int) -> Row:
        """Which store a sample is in, and its row there."""
        if len(self.sources) == 1:
            return 0, place
        store = int(np.searchsorted(self.index.offsets, place, side="right")) - 1
        return store, int(place - self.index.offsets[store])

    def _origin(self, place: int) -> tuple[int, str, str]:
        names = self.index.names
        dataset = names["dataset"][self.index.dataset[place]]
        return self.locate(place)[0], dataset, names["rendition"][self.index.rendition[place]]

    def _questions(self, places: Sequence[int], tickets: Sequence[Ticket]) -> list[list[Question]]:
        if self.prompts is None:
            return [[] for _ in places]
        feasible = [self._asked_for(place) for place in places]
        epochs, times = [t.epoch for t in tickets], [t.time for t in tickets]
        asked = ask(feasible, self.prompts, self.seed, epochs, places, times)
        if self.findings is None:
            return asked
        names = self.index.names["case"]
        origins = [(*self._origin(place)[:2], names[self.index.case[place]]) for place in places]
        return mix_findings(asked, origins, *self.findings, (self.seed, epochs, places, times))

    def _asked_for(self, place: int) -> tuple[ClassEntry, ...]:
        """Return the classes of a sample, or where its dataset has none, its case's findings."""
        store, dataset, _ = self._origin(place)
        if self.findings is None or self.classes.tables[store].of_dataset(dataset):
            return self.feasible(place)
        case = self.index.names["case"][self.index.case[place]]
        absent = self.findings[0].absent(store, dataset, case, place)
        own = self.findings[0].true(store, case)
        return own or (self.feasible(place) if absent is None else (absent,))

    def _change(self, i: int, place: int, ticket: Ticket, questions: list[list[Question]]) -> Change:
        """Return what happens to sample ``i`` of the batch; its questions change sides when it is mirrored."""
        if self.augment is None:
            return _NO_CHANGE
        change = draw_change(self.augment, self.seed, ticket.epoch, place, ticket.time)
        if not change.mirrors:
            return change
        if self.prompts is None:
            store, dataset, _ = self._origin(place)
            return change.unmirrored if self.classes.names_a_side(store, dataset) else change
        other = [question.mirrored for question in questions[i]]
        if None in other:
            return change.unmirrored
        questions[i] = [question for question in other if question is not None]
        return change

    def _read_images(
        self, places: Sequence[int], rows: Sequence[Row], changes: Sequence[Change], out: NDArray[np.uint8]
    ) -> None:
        start = 0
        for i, change in enumerate(changes):
            if change.within_slices:
                self._read_plain(places[start:i], rows[start:i], out[start:i])
                self._read_changed(places[i], rows[i], change, out[i : i + 1])
                start = i + 1
        self._read_plain(places[start:], rows[start:], out[start:])
        for change, image in zip(changes, out, strict=True):
            if change.swap:
                swap_context(image)

    def _read_plain(self, places: Sequence[int], rows: Sequence[Row], out: NDArray[np.uint8]) -> None:
        """Write samples as they are: each stretch of one store in one piece."""
        start = 0
        for i in range(1, len(places) + 1):
            if i == len(places) or rows[i][0] != rows[start][0]:
                source = self.sources[rows[start][0]]
                runs = [self._run(place) for place in places[start:i]] if source.lazy else []
                source.images([row for _, row in rows[start:i]], runs, out[start:i])
                start = i

    def _read_changed(self, place: int, found: Row, change: Change, out: NDArray[np.uint8]) -> None:
        store, row = found
        source = self.sources[store]
        slab, focal = source.slab(row, self._run(place))
        source.encode(change_slices(slab, change), np.array([focal]), out)

    def _read_mask(
        self, found: Row, change: Change, questions: Sequence[Question], target: NDArray[Any]
    ) -> None:
        store, row = found
        rows = self.sources[store].store.mask_rows
        if not questions and not change.within_slices and target.dtype == rows.dtype:
            rows.take([row], target[None])
            return
        mask = rows.take([row], self._scratch(rows.shape[1:], rows.dtype)[None])[0]
        if change.within_slices:
            mask = change_mask(mask, change)
        if not questions:
            np.copyto(target, mask)
        for question, out in zip(questions, target, strict=False):
            class_mask(mask, question.entry, out)

    def _scratch(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        held: NDArray[Any] | None = getattr(self._local, "mask", None)
        if held is None or held.dtype != dtype:
            held = self._local.mask = np.empty(shape, dtype)
        return held

    def _run(self, place: int) -> range:
        """Rows of the sample's run in its store."""
        offset = int(self.index.offsets[self.locate(place)[0]])
        run = self.index.runs.of_row(place)
        return range(run.start - offset, run.stop - offset)

    def _words(
        self, places: Sequence[int], questions: Sequence[Sequence[Question]]
    ) -> tuple[list[list[str]], list[list[str]]]:
        if self.prompts is None:
            return [], []
        prompts = [[question.prompt for question in asked] for asked in questions]
        datasets = [self._origin(place)[1] for place in places]
        classes = [
            [f"{dataset}/{question.entry.name}" for question in asked]
            for dataset, asked in zip(datasets, questions, strict=True)
        ]
        return prompts, classes


_NO_CHANGE = Change()
