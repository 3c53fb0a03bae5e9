"""Training and validation data out of committed stores."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from fve_pipeline.encoding import context_depth, encode
from fve_pipeline.errors import TrainError
from fve_pipeline.segmenter.randomness import combine_keys
from fve_pipeline.store.reader import Store
from fve_pipeline.train_data import Batch, CaseSlices, Share

__all__ = ["ClassEntry", "StoreRows", "StoreTraining", "StoreValidation", "ahead"]

T = TypeVar("T")


def ahead(items: Iterator[T], depth: int = 2) -> Iterator[T]:
    """``items``, made in a thread that keeps up to ``depth`` ready."""
    ready: queue.Queue[Any] = queue.Queue(depth)
    stop, end = threading.Event(), object()

    def put(item: Any) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as error:
            put(error)
        put(end)

    thread = threading.Thread(target=work, daemon=True, name="train-data")
    thread.start()
    try:
        while (item := ready.get()) is not end:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


@dataclass(frozen=True)
class ClassEntry:
    """A class of a dataset: ``ids`` in the mask that make it up; of an instance class, all ids do.

    ``renditions`` are the windows or channels that show it; none means all.
    """

    name: str
    number: int
    ids: tuple[int, ...]
    instance: bool
    prompts: tuple[str, ...]
    renditions: tuple[str, ...] = ()

    def mask(self, labels: NDArray[Any]) -> NDArray[np.int32]:
        """``labels`` (…,S,S) -> 1 inside, or the instance ids."""
        if self.instance:
            return labels.astype(np.int32)
        table = np.zeros(np.iinfo(labels.dtype).max + 1, np.int32)
        table[list(self.ids)] = 1
        inside: NDArray[np.int32] = table[labels]
        return inside


class StoreRows:
    """One store's samples of one split, its classes, and encoded images of any rows."""

    def __init__(self, store: Store, split: str, order: int | None = None) -> None:
        self.store = store
        self.order = store.settings.order if order is None else order
        if store.settings.storage == "encoded" and self.order != store.settings.order:
            msg = (
                f"{store.files.url} holds images of order {store.settings.order}, not {self.order}; only a store "
                "built with --storage slices can be read at another order"
            )
            raise TrainError(msg)
        split_of = (
            store.index.column("split").combine_chunks().dictionary_decode().to_numpy(zero_copy_only=False)
        )
        self.rows = np.flatnonzero(split_of == split)

    @property
    def settings(self) -> dict[str, Any]:
        """What the images are: order, boundary, resize, size."""
        own = self.store.settings
        return {"order": self.order, "boundary": own.boundary, "resize": own.resize, "size": own.size}

    @cached_property
    def classes(self) -> dict[str, tuple[ClassEntry, ...]]:
        """By dataset."""
        found: dict[str, list[ClassEntry]] = {}
        for row in self.store.classes.to_pylist():
            entry = ClassEntry(
                f"{row['dataset']}/{row['name']}",
                row["class_id"],
                tuple(row["ids"]),
                row["instance"],
                tuple(row["prompts"]) or (row["name"],),
                tuple(row["renditions"]),
            )
            found.setdefault(row["dataset"], []).append(entry)
        return {name: tuple(entries) for name, entries in found.items()}

    @cached_property
    def datasets(self) -> NDArray[Any]:
        """Dataset of every row of the store."""
        return self._column("dataset")

    @cached_property
    def renditions(self) -> NDArray[Any]:
        """Rendition of every row of the store."""
        return self._column("rendition")

    def feasible(self, row: int) -> tuple[ClassEntry, ...]:
        """The classes that row ``row`` may be prompted for: its dataset's that its rendition shows."""
        own, shown = self.classes[str(self.datasets[row])], str(self.renditions[row])
        return tuple(entry for entry in own if not entry.renditions or shown in entry.renditions)

    @cached_property
    def _runs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First row and one past the last of each row's run: one case, rendition and view, slices in order."""
        keys = [self._column(name) for name in ("case", "rendition", "view")]
        change = (
            np.any([key[1:] != key[:-1] for key in keys], axis=0)
            if len(self.store) > 1
            else np.zeros(0, bool)
        )
        starts = np.r_[0, np.flatnonzero(change) + 1]
        lengths = np.diff(np.r_[starts, len(self.store)])
        return np.repeat(starts, lengths), np.repeat(starts + lengths, lengths)

    def _column(self, name: str) -> NDArray[Any]:
        column = self.store.index.column(name).combine_chunks()
        codes: NDArray[Any] = column.indices.to_numpy(zero_copy_only=False)
        words = np.array(column.dictionary.to_pylist(), dtype=object)
        found: NDArray[Any] = words[codes]
        return found

    def positives(self) -> dict[str, int]:
        """Samples of the split that hold each class."""
        lists = self.store.index.column("class_ids").combine_chunks()
        offsets = lists.offsets.to_numpy()
        values = lists.values.to_numpy()
        chosen = np.zeros(len(self.store), bool)
        chosen[self.rows] = True
        row_of = np.repeat(np.arange(len(self.store)), np.diff(offsets))
        counts: dict[str, int] = {}
        for dataset, entries in self.classes.items():
            own = values[(chosen & (self.datasets == dataset))[row_of]]
            counts |= {entry.name: int((own == entry.number).sum()) for entry in entries}
        return counts

    def image(self, row: int) -> NDArray[np.uint8]:
        """(3,S,S) uint8: focal, before, after; encoded here when the store keeps plain slices."""
        if self.store.settings.storage == "encoded":
            return np.ascontiguousarray(np.moveaxis(self.store.pixel_rows.take([row])[0], -1, 0))
        first, last = (int(bound[row]) for bound in self._runs)
        reach = context_depth(self.order)
        start, stop = max(first, row - reach), min(last, row + reach + 1)
        slab = self.store.read_slices(start, stop)
        own = self.store.settings
        encoded: NDArray[np.uint8] = encode(
            slab, self.order, own.boundary, own.downsample, focal=[row - start], layout="chw"
        )[0]
        return encoded

    def labels(self, row: int) -> NDArray[Any]:
        """(S,S) ids."""
        found: NDArray[Any] = self.store.mask_rows.take([row])[0]
        return found

    def cases(self) -> list[tuple[str, str, NDArray[np.int64]]]:
        """(case, subject, rows in slice order) of the split: each case's first rendition and view."""
        starts = self._runs[0][self.rows]
        case, subject = self._column("case"), self._column("subject")
        found: dict[str, tuple[str, str, NDArray[np.int64]]] = {}
        for start in np.unique(starts):
            rows = self.rows[starts == start]
            name = str(case[start])
            found.setdefault(name, (name, str(subject[start]), rows))
        return list(found.values())


def _agree(stores: Sequence[StoreRows]) -> dict[str, Any]:
    for other in stores[1:]:
        if other.settings != stores[0].settings:
            msg = (
                f"{other.store.files.url} has {other.settings}, {stores[0].store.files.url} has "
                f"{stores[0].settings}; stores that are trained on together must be made alike"
            )
            raise TrainError(msg)
    return stores[0].settings


class StoreTraining:
    """Samples of the stores' ``split`` in a new order each epoch, each with ``prompts`` classes of its dataset.

    As the paper trains (section 5.2): classes are drawn from the dataset's whole list, without repeats when
    it has enough, and one prompt for each; the mask of a class that is absent is empty. Of an instance
    dataset the one class is taken ``prompts`` times, its ids kept for the edges.
    """

    def __init__(
        self, stores: Sequence[Store], prompts: int = 4, split: str = "train", order: int | None = None
    ) -> None:
        self.parts = [StoreRows(store, split, order) for store in stores]
        self.prompts = prompts
        self.settings: Mapping[str, Any] = _agree(self.parts)
        self.starts = np.cumsum([0, *(len(part.rows) for part in self.parts)])
        ids = [f"{store.manifest.content_id}:{split}" for store in stores]
        self.content_id = hashlib.sha256(" ".join(ids).encode()).hexdigest()

    def __len__(self) -> int:
        return int(self.starts[-1])

    @cached_property
    def positives(self) -> Mapping[str, int]:
        """Samples that hold each class, by "dataset/class"."""
        counts: dict[str, int] = {}
        for part in self.parts:
            for name, count in part.positives().items():
                counts[name] = counts.get(name, 0) + count
        return counts

    def batches(self, seed: int, epoch: int, share: Share, start: int) -> Iterator[Batch]:
        """See :class:`fve_pipeline.train_data.TrainingData`."""
        return ahead(self._batches(seed, epoch, share, start))

    def _batches(self, seed: int, epoch: int, share: Share, start: int) -> Iterator[Batch]:
        order = np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(len(self))
        for step in range(start, len(self) // share.batch):
            for numbers in share.pieces(order[step * share.batch : (step + 1) * share.batch].tolist()):
                yield self._batch(seed, epoch, numbers)

    def _batch(self, seed: int, epoch: int, numbers: Sequence[int]) -> Batch:
        images, masks, prompts = [], [], []
        for number in numbers:
            which = int(np.searchsorted(self.starts, number, side="right")) - 1
            part = self.parts[which]
            row = int(part.rows[number - self.starts[which]])
            labels = part.labels(row)
            chosen = self._choose(part.feasible(row), combine_keys(seed, epoch, number))
            images.append(torch.from_numpy(part.image(row)))
            masks.append(torch.from_numpy(np.stack([entry.mask(labels) for entry, _ in chosen])))
            prompts.append([prompt for _, prompt in chosen])
        return Batch(torch.stack(images), torch.stack(masks), prompts, list(numbers))

    def _choose(self, classes: Sequence[ClassEntry], key: int) -> list[tuple[ClassEntry, str]]:
        rng = np.random.Generator(np.random.Philox(key=key))
        picks = rng.choice(len(classes), self.prompts, replace=len(classes) < self.prompts)
        return [(classes[i], classes[i].prompts[rng.integers(len(classes[i].prompts))]) for i in picks]


@dataclass(frozen=True)
class StoreCase:
    """One case of a store as a validation case; its first prompt stands for a class."""

    part: StoreRows
    name: str
    subject: str
    entries: tuple[ClassEntry, ...]
    rows: NDArray[np.int64]

    @property
    def classes(self) -> list[str]:
        return [entry.name for entry in self.entries]

    @property
    def prompts(self) -> list[str]:
        return [entry.prompts[0] for entry in self.entries]

    def slices(self, count: int) -> Iterator[CaseSlices]:
        for first in range(0, len(self.rows), count):
            rows = self.rows[first : first + count].tolist()
            images = np.stack([self.part.image(row) for row in rows])
            labels = np.stack([self.part.labels(row) for row in rows])
            masks = np.stack([entry.mask(labels) for entry in self.entries], axis=1)
            yield CaseSlices(torch.from_numpy(images), torch.from_numpy(masks), first)


class StoreValidation:
    """Whole cases of the stores' ``split``."""

    def __init__(self, stores: Sequence[Store], split: str = "val", order: int | None = None) -> None:
        self.found = [
            StoreCase(part, name, subject, part.feasible(int(rows[0])), rows)
            for part in (StoreRows(store, split, order) for store in stores)
            for name, subject, rows in part.cases()
        ]

    def __len__(self) -> int:
        return len(self.found)

    def case(self, number: int) -> StoreCase:
        """The case called by its number."""
        return self.found[number]
