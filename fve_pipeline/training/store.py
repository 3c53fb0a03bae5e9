"""Training and validation data out of committed stores, through :mod:`fve_pipeline.loading`."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fve_pipeline.loading import ClassBalanced, FindingMix, Once, Recipe, SliceDataset, Tempered, prefetch
from fve_pipeline.loading.buffers import BufferPool
from fve_pipeline.loading.dataset import require_alike
from fve_pipeline.loading.findings import Sentences
from fve_pipeline.loading.prompts import Wordings, class_mask
from fve_pipeline.loading.samples import SampleIndex
from fve_pipeline.loading.share import Batch, Share
from fve_pipeline.loading.source import StoreImages
from fve_pipeline.loading.strategies import Strategy
from fve_pipeline.segmenter.trained_on import TrainedCase, TrainedDataset, TrainedOn
from fve_pipeline.store.class_table import ClassEntry
from fve_pipeline.store.reader import Store
from fve_pipeline.training.config import DataSettings
from fve_pipeline.training.data import CaseSlices

__all__ = ["STRATEGIES", "StoreCase", "StoreTraining", "StoreValidation"]

STRATEGIES: dict[str, Strategy] = {
    "once": Once(),
    "tempered": Tempered(0.5),
    "class_balanced": ClassBalanced(0.2),
}
# What decides how a model sees a slice: a checkpoint records it, and prediction makes its slices alike.
_RECORDED = (
    *("order", "boundary", "downsample", "size", "resize"),
    *("views_rule", "intensity_rule", "percentiles_over", "nonfinite", "resample_tilt"),
)
# What the findings of a data set are called among its classes, where they are scored.
FINDINGS = "findings"
_RECIPES = {
    "recipe": Recipe(),
    "swap": Recipe(True, False, False, False, False, False, False),
    "none": None,
}


def _recorded(sources: Sequence[StoreImages]) -> dict[str, Any]:
    first = sources[0]
    kept = first.store.settings.model_dump(include=set(_RECORDED))
    # A catalog's say goes before the build's; where data sets differ, prediction asks the catalog.
    over = set().union(*(_percentiles_over(source.store) for source in sources))
    kept["percentiles_over"] = over.pop() if len(over) == 1 else kept["percentiles_over"]
    return {**kept, "order": first.order, "boundary": first.boundary}


def _percentiles_over(store: Store) -> set[str]:
    """Over which voxels the percentiles of each data set were taken, as its first case records it."""
    columns = store.cases.select(["dataset", "recipe"]).to_pydict()
    recipes = dict(zip(reversed(columns["dataset"]), reversed(columns["recipe"]), strict=True))
    return {json.loads(recipe)["settings"]["percentiles_over"] for recipe in recipes.values()}


class StoreTraining:
    """Samples of the stores' split ``train``, of ``cases`` alone if any are given (a coreset's choice)."""

    def __init__(
        self,
        stores: Sequence[Store],
        settings: DataSettings,
        seed: int = 0,
        cases: Collection[str] = (),
        wordings: Wordings | None = None,
    ) -> None:
        self.dataset = SliceDataset(
            stores,
            prompts=settings.prompts,
            augment=_RECIPES[settings.augment],
            order=settings.order,
            cases=cases,
            seed=seed,
            findings=FindingMix(settings.findings, settings.negatives) if settings.findings else None,
            wordings=wordings,
        )
        self.sampler = self.dataset.sampler(STRATEGIES[settings.sampling])
        self.threads = settings.threads
        self.settings: Mapping[str, Any] = _recorded(self.dataset.sources)
        self.content_id = self.dataset.content_id
        self.memory = BufferPool(torch.cuda.is_available())

    def __len__(self) -> int:
        return len(self.sampler)

    @cached_property
    def positives(self) -> Mapping[str, int]:
        """Samples that hold each class, by "dataset/class", in a rendition that shows it."""
        index, counts = self.dataset.index, dict[str, int]()
        chosen = np.zeros(len(index), bool)
        chosen[self.dataset.chosen] = True
        for table in self.dataset.assembler.classes.tables:
            for entry in table:
                held = index.holding(entry.class_id, entry.dataset)
                shown = np.array([entry.shown_in(name) for name in index.names["rendition"]])
                held = held[chosen[held] & shown[index.rendition[held]]]
                counts[f"{entry.dataset}/{entry.name}"] = len(held)
        return counts

    @cached_property
    def trained_on(self) -> TrainedOn:
        """The cases of the chosen samples, and their data sets with their terms."""
        index, cases, datasets = self.dataset.index, list[TrainedCase](), list[TrainedDataset]()
        chosen = np.zeros(len(index), bool)
        chosen[self.dataset.chosen] = True
        for number, source in enumerate(self.dataset.sources):
            own = slice(index.offsets[number], index.offsets[number + 1])
            names = {index.names["case"][code] for code in np.unique(index.case[own][chosen[own]])}
            rows = source.store.cases.select(["dataset", *TrainedCase._fields]).to_pylist()
            rows = [row for row in rows if row["case"] in names]
            cases += [TrainedCase(row["case"], row["subject"], row["source_sha256"]) for row in rows]
            held = {row["dataset"] for row in rows}
            datasets += [
                TrainedDataset(one.dataset, one.licence, one.citation, one.url)
                for one in source.store.manifest.sources
                if one.dataset in held
            ]
        return TrainedOn.of(cases, datasets)

    def batches(self, epoch: int, share: Share, start: int) -> Iterator[Batch]:
        """See :class:`fve_pipeline.training.data.TrainingData`."""
        state = replace(self.sampler.start(share.batch, epoch), consumed=start * share.batch)
        parts = self.sampler.batches(state, share.rank, share.world)
        pieces = (part[i : i + share.micro] for part in parts for i in range(0, len(part), share.micro))
        loaded = prefetch(lambda numbers: self.dataset.read(numbers, self.memory), pieces, self.threads)
        with closing(loaded):
            yield from loaded


@dataclass(frozen=True)
class StoreCase:
    """One case of a store as a validation case; a class's first prompt stands for it."""

    source: StoreImages
    name: str
    subject: str
    dataset: str
    entries: tuple[ClassEntry, ...]
    rows: range

    @property
    def classes(self) -> list[str]:
        return [f"{self.dataset}/{entry.name}" for entry in self.entries]

    @property
    def prompts(self) -> list[str]:
        return [entry.words[0] for entry in self.entries]

    @property
    def depth(self) -> int:
        return len(self.rows)

    def slices(self, count: int) -> Iterator[CaseSlices]:
        for first in range(0, len(self.rows), count):
            rows = self.rows[first : first + count]
            size = self.source.size
            images = np.empty((len(rows), size, size, 3), np.uint8)
            self.source.images(rows, [self.rows] * len(rows), images)
            labels = self.source.store.read_masks(rows.start, rows.stop)
            masks = np.stack([self._masks(labels, entry) for entry in self.entries], axis=1)
            yield CaseSlices(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(masks), first)

    def _masks(self, labels: NDArray[Any], entry: ClassEntry) -> NDArray[np.int32]:
        found = np.empty(labels.shape, np.int32)
        class_mask(labels, entry, found)
        return found


class StoreValidation:
    """Whole cases of the stores' ``split``, in one view; each class in the first rendition that shows it.

    A case's findings are asked for in its first rendition, and scored as one class of their data set.
    """

    def __init__(self, stores: Sequence[Store], split: str = "val", order: int | None = None) -> None:
        self.found: list[StoreCase] = []
        sources = [StoreImages(store, order) for store in stores]
        require_alike(sources)
        self.settings: Mapping[str, Any] = _recorded(sources)
        for store, source in zip(stores, sources, strict=True):
            index, sentences = SampleIndex.of([store.index]), Sentences((store,))
            subjects = store.index.column("subject")
            judged: dict[str, set[str]] = {}
            for run in index.runs:
                start = run.start
                if index.names["split"][index.split[start]] != split:
                    continue
                name = index.names["case"][index.case[start]]
                dataset = index.names["dataset"][index.dataset[start]]
                rendition = index.names["rendition"][index.rendition[start]]
                known = judged.setdefault(name, set())
                shown = store.class_table.shown(dataset, rendition)
                entries = tuple(e for e in shown if e.name not in known)
                known.update(entry.name for entry in entries)
                if FINDINGS not in known:
                    known.add(FINDINGS)
                    entries += tuple(replace(e, name=FINDINGS) for e in sentences.true(0, name))
                if entries:
                    subject = subjects[start].as_py()
                    self.found.append(StoreCase(source, name, subject, dataset, entries, run))

    def __len__(self) -> int:
        return len(self.found)

    def case(self, number: int) -> StoreCase:
        """The case called by its number."""
        return self.found[number]
