"""Train the probe on a coreset, score it on held-out subjects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor
from torch.nn import functional as F

from fve_pipeline.coreset.probe.data import ProbeSlices, Targets, draw_rows, read_slices
from fve_pipeline.coreset.probe.net import ProbeNet
from fve_pipeline.coreset.selection import Selection
from fve_pipeline.coreset.table import ClassKey
from fve_pipeline.errors import CoresetError
from fve_pipeline.store.reader import Store

__all__ = ["Probe", "ProbeSettings"]


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """The same work for every coreset: ``steps`` of ``batch`` slices of ``size`` pixels, whatever its size."""

    steps: int = 300
    batch: int = 16
    size: int = 64
    slices: int = 2000
    held_out_slices: int = 400
    rate: float = 3e-3


class Probe:
    """``probe(selection, seed)`` trains from scratch on the selection's slices and returns its score.

    The score is the mean, over all classes with a held-out pixel, of the Dice of the class's pixels over the
    held-out slices taken together. Held out are the cases of split ``held_out`` of all stores: subjects that
    no coreset can hold. Equal arguments give equal scores on one machine.

    Raises CoresetError when the stores have no held-out case.
    """

    def __init__(
        self,
        stores: Sequence[Store],
        classes: Sequence[ClassKey],
        settings: ProbeSettings | None = None,
        held_out: str = "val",
    ) -> None:
        self.stores = stores
        self.settings = settings or ProbeSettings()
        self.targets = Targets.of(stores, classes)
        cases = [
            case
            for store in stores
            for case in store.cases.filter(pc.equal(store.cases.column("split"), held_out))
            .column("case")
            .to_pylist()
        ]
        rows = draw_rows(stores, cases, limit=self.settings.held_out_slices, seed=0)
        if not rows:
            msg = f"no labelled slice is in the split {held_out!r}, so nothing can be scored; build with --val 0.1"
            raise CoresetError(msg)
        self.held_out = read_slices(stores, rows, self.settings.size, self.targets)

    def __call__(self, selection: Selection, seed: int) -> float:
        """Train on the selection and return the score on the held-out rows."""
        rows = draw_rows(self.stores, selection.case_ids, limit=self.settings.slices, seed=seed)
        if not rows:
            return 0.0  # nothing but unlabelled slices: nothing is learnt
        net = self._train(read_slices(self.stores, rows, self.settings.size, self.targets), seed)
        return self._score(net)

    def _train(self, slices: ProbeSlices, seed: int) -> ProbeNet:
        settings = self.settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = ProbeNet(len(self.targets.classes))
        optimizer = torch.optim.AdamW(net.parameters(), settings.rate, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=settings.steps)
        rng = np.random.Generator(np.random.Philox(key=seed + 1))
        for _ in range(settings.steps):
            places = rng.integers(0, len(slices), settings.batch)
            loss = self._loss(net(_images(slices, places)), slices, places)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        return net.eval()

    def _loss(self, logits: Tensor, slices: ProbeSlices, places: np.ndarray) -> Tensor:
        """Cross entropy and soft Dice over the classes that each slice shows."""
        losses = []
        for row, place in enumerate(places.tolist()):
            numbers = slices.classes[place]
            mine = logits[row, numbers]
            wanted = torch.from_numpy(self.targets.masks(slices.labels[place], numbers)).float()
            share = mine.sigmoid()
            overlap = (share * wanted).sum((1, 2))
            dice = (2 * overlap + 1) / (share.sum((1, 2)) + wanted.sum((1, 2)) + 1)
            losses.append(F.binary_cross_entropy_with_logits(mine, wanted) + 1 - dice.mean())
        return torch.stack(losses).mean()

    @torch.no_grad()
    def _score(self, net: ProbeNet) -> float:
        both, sizes, truth = (np.zeros(len(self.targets.classes)) for _ in range(3))
        for start in range(0, len(self.held_out), self.settings.batch):
            places = np.arange(start, min(start + self.settings.batch, len(self.held_out)))
            found = (net(_images(self.held_out, places)) > 0).numpy()
            for row, place in enumerate(places.tolist()):
                numbers = self.held_out.classes[place]
                wanted = self.targets.masks(self.held_out.labels[place], numbers)
                mine = found[row, numbers]
                both[numbers] += (mine & wanted).sum((1, 2))
                sizes[numbers] += mine.sum((1, 2)) + wanted.sum((1, 2))
                truth[numbers] += wanted.sum((1, 2))
        present = truth > 0
        return float((2 * both[present] / sizes[present]).mean()) if present.any() else 0.0


def _images(slices: ProbeSlices, places: np.ndarray) -> Tensor:
    return torch.from_numpy(slices.images[places][:, None]).float() / 255
