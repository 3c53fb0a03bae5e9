"""Epochs, global batches and a state of a few numbers, over the index alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import LoadingError
from fve_pipeline.loading.draw import draw_epoch
from fve_pipeline.loading.order import LANES, arrange, occurrences
from fve_pipeline.loading.samples import SampleIndex
from fve_pipeline.loading.strategies import Once, Strategy

__all__ = ["Batches", "Sampler", "SamplerState", "Ticket"]

Ints = NDArray[np.int64]

_ONCE = Once()
_SAMPLE_BITS, _TIME_BITS = 36, 12


class Ticket(NamedTuple):
    """What a sampler hands to a dataset: which of the chosen samples, in which epoch, drawn for which time in it.

    ``number`` packs the three into one integer, so that it travels as any index does. A plain index is the
    ticket of that sample in epoch 0.
    """

    sample: int
    epoch: int = 0
    time: int = 0

    @property
    def number(self) -> int:
        """The ticket as one whole number, as a sampler yields it."""
        return (self.epoch << _TIME_BITS | self.time) << _SAMPLE_BITS | self.sample

    @classmethod
    def of(cls, number: int) -> Ticket:
        """Return the ticket that a number stands for."""
        high = number >> _SAMPLE_BITS
        return cls(number & (1 << _SAMPLE_BITS) - 1, high >> _TIME_BITS, high & (1 << _TIME_BITS) - 1)


@dataclass(frozen=True, slots=True)
class SamplerState:
    """Where training is: enough to go on exactly, with any number of ranks and workers.

    ``consumed`` counts samples of the epoch, over all ranks; ``content`` names the samples, not their path.
    """

    seed: int
    epoch: int
    consumed: int
    batch: int
    content: str

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class Sampler:
    """The order of samples, epoch by epoch: the same for any number of ranks, workers or threads.

    ``chosen`` are the samples to train on, ascending, ``strategy`` says how often each comes, ``length`` how many an
    epoch has (by default as many as are chosen). ``slab`` neighbouring samples lie together on disk and are
    read at about the same time; ``window`` is what a lane shuffles at once. ``content`` names the samples,
    for the state.
    """

    index: SampleIndex
    chosen: Ints
    strategy: Strategy = _ONCE
    seed: int = 0
    length: int | None = None
    slab: int = 8
    window: int = 256
    content: str = ""

    def __len__(self) -> int:
        return len(self.chosen) if self.length is None else self.length

    def epoch(self, epoch: int) -> Ints:
        """Ticket numbers of an epoch, in order. Takes memory for about ten integers a sample."""
        groups = self.strategy.groups(self.index, self.chosen)
        drawn = np.sort(draw_epoch(groups, len(self), self.seed, epoch))
        run = np.searchsorted(self.index.runs.starts, drawn, side="right") - 1
        # A slab never crosses a run; it is named by its first sample.
        slab = drawn - (drawn - self.index.runs.starts[run]) % self.slab
        times = occurrences(drawn) % (1 << _TIME_BITS)
        tickets = ((epoch << _TIME_BITS) + times << _SAMPLE_BITS) + np.searchsorted(self.chosen, drawn)
        return arrange(tickets, slab, self.seed, epoch, self.window)

    def batches(
        self, state: SamplerState, rank: int = 0, world: int = 1, *, drop_last: bool = True
    ) -> Iterator[list[int]]:
        """Return this rank's part of each global batch left in the state's epoch, as ticket numbers.

        ``drop_last`` leaves an unfilled last batch out.

        Raises LoadingError when the state is of other samples or the batch cannot be shared.
        """
        self._check(state, rank, world)
        if drop_last and len(self) < state.batch:
            msg = f"a global batch of {state.batch} from {len(self)} samples an epoch would never be filled; lower it"
            raise LoadingError(msg)
        order = self.epoch(state.epoch)
        for start in range(state.consumed, len(order), state.batch):
            whole = order[start : start + state.batch]
            if len(whole) < state.batch and drop_last:
                return
            # Within a batch by lane, so that consecutive parts of it belong to consecutive lanes.
            lanes = np.argsort((start + np.arange(len(whole))) % LANES, kind="stable")
            part = whole[lanes] if len(whole) > LANES else whole
            yield part[rank * len(whole) // world : (rank + 1) * len(whole) // world].tolist()

    def start(self, batch: int, epoch: int = 0) -> SamplerState:
        """Return the state at the beginning of an epoch, for global batches of ``batch``."""
        return SamplerState(self.seed, epoch, 0, batch, self.content)

    def after(self, state: SamplerState, batches: int = 1) -> SamplerState:
        """Return the state when ``batches`` more global batches have been used; the next epoch's after the last."""
        steps = len(self) // state.batch
        done = state.epoch * steps + state.consumed // state.batch + batches
        epoch, step = divmod(done, steps)
        return SamplerState(state.seed, epoch, step * state.batch, state.batch, state.content)

    def _check(self, state: SamplerState, rank: int, world: int) -> None:
        if not 0 <= rank < world:
            msg = f"rank {rank} of {world}: ranks count from 0 to {world - 1}"
            raise LoadingError(msg)
        if state.batch < 1:
            msg = f"a global batch of {state.batch}; give 1 or more"
            raise LoadingError(msg)
        if state.batch % world:
            msg = f"a global batch of {state.batch} cannot be shared by {world} ranks"
            raise LoadingError(msg)
        for name, found, expected in (
            ("content", state.content, self.content),
            ("seed", state.seed, self.seed),
        ):
            if found != expected:
                msg = f"the saved state has {name} {found!r}, the samples here {expected!r}: it cannot go on with them"
                raise LoadingError(msg)


@dataclass
class Batches:
    """A ``batch_sampler`` for a torch DataLoader: this rank's batches of the epoch that ``state`` is in.

    A DataLoader draws ahead of its use, so whoever trains moves ``state`` on, with ``Sampler.after``.
    """

    sampler: Sampler
    state: SamplerState
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        return (len(self.sampler) - self.state.consumed) // self.state.batch

    def __iter__(self) -> Iterator[list[int]]:
        return self.sampler.batches(self.state, self.rank, self.world)
