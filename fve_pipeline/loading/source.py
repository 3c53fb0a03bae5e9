"""Images from a store, whichever way it keeps them: encoded already, or slices to encode now."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_kernels.cpu_rows import split_channels
from fve_pipeline.errors import LoadingError
from fve_pipeline.imaging.encoding import context_depth, encode
from fve_pipeline.store.reader import Store

__all__ = ["StoreImages"]

Pixels = NDArray[np.uint8]


class StoreImages:
    """Reads encoded images of ``order`` from a store; by default of its own order and boundary rule.

    A lazy store (``slices``) is encoded while it is read, bit for bit as the encoded store would be. Picklable;
    safe across threads and forks. Keeps one slab of 2·context + 1 slices a thread.

    Order 0, the focal slice alone, is in every store: an encoded image's first channel.

    Raises LoadingError when an encoded store is asked for another order or boundary rule.
    """

    def __init__(self, store: Store, order: int | None = None, boundary: str | None = None) -> None:
        settings = store.settings
        self.store = store
        self.lazy = settings.storage == "slices"
        self.order = settings.order if order is None else order
        self.boundary = settings.boundary if boundary is None else boundary
        self.size = settings.size
        if (
            not self.lazy
            and self.order
            and (self.order, self.boundary) != (settings.order, settings.boundary)
        ):
            msg = (
                f"{store.files.url} holds images encoded with order {settings.order}, boundary "
                f"{settings.boundary!r}; {self.order}, {self.boundary!r} was asked for. Build with --storage slices "
                "to choose when loading"
            )
            raise LoadingError(msg)
        if self.size % (1 << max(0, self.order - 1)):
            msg = f"{store.files.url}: slices of {self.size} pixels cannot be encoded with order {self.order}"
            raise LoadingError(msg)
        self._scratch = threading.local()

    def __reduce__(self) -> tuple[type[StoreImages], tuple[Store, int, str]]:
        return StoreImages, (self.store, self.order, self.boundary)

    def images(self, rows: Sequence[int], runs: Sequence[range], out: Pixels) -> None:
        """Write encoded images of ``rows`` into ``out`` (n, S, S, 3). ``runs`` are those of the rows, a run for each."""
        if not self.lazy:
            self.store.pixel_rows.take(rows, out)
            if self.order == 0:
                out[..., 1:] = out[..., :1]
            return
        for start, stop in _blocks(rows, runs):
            slab, first = self._slab(rows[start], rows[stop - 1], runs[start])
            focal = np.arange(rows[start] - first, rows[stop - 1] - first + 1)
            self.encode(slab, focal, out[start:stop])

    def image(self, row: int, run: range | None, out: Pixels) -> None:
        """One encoded image into ``out`` (S, S, 3), with fewer steps where it is stored as it is.

        ``run`` is the row's; only a lazy store needs it.
        """
        if self.lazy or self.order == 0:
            self.images((row,), () if run is None else (run,), out[None])
        else:
            self.store.pixel_rows.decode(row, out.reshape(-1))

    def encode(self, slab: Pixels, focal: NDArray[Any], out: Pixels) -> None:
        """Encode slices of a slab (n, S, S), which must hold their context, into ``out``."""
        downsample = self.store.settings.downsample
        encode(slab, self.order, self.boundary, downsample, focal=focal, out=out)

    def slab(self, row: int, run: range) -> tuple[Pixels, int]:
        """Return a row's slice with the context that encoding it needs, and its place among them.

        Overwritten by the thread's next slab.

        From an encoded store of order 1 or 0 the slices are the image's channels; of a higher order they are
        not to be had.
        """
        if self.lazy:
            slab, first = self._slab(row, row, run)
            return slab, row - first
        image = self.store.pixel_rows.take([row])[0]
        if self.order == 0:
            return np.ascontiguousarray(image[None, ..., 0]), 0
        # Past an end of the run the channel repeats a slice that is there already.
        first, last = row == run.start, row == run.stop - 1
        planes = split_channels(image)[[*(() if first else (1,)), 0, *(() if last else (2,))]]
        return planes, 0 if first else 1

    def _slab(self, first: int, last: int, run: range) -> tuple[Pixels, int]:
        depth = context_depth(self.order)
        low, high = max(run.start, first - depth), min(run.stop, last + 1 + depth)
        slab = self._buffer(high - low)
        self.store.read_slices(low, high, slab)
        return slab, low

    def _buffer(self, n: int) -> Pixels:
        held: Pixels | None = getattr(self._scratch, "slab", None)
        if held is None or len(held) < n:
            held = self._scratch.slab = np.empty((n, self.size, self.size), np.uint8)
        return held[:n]


def _blocks(rows: Sequence[int], runs: Sequence[range]) -> Iterator[tuple[int, int]]:
    """Stretches of consecutive rows of one run: their slices are read once."""
    start = 0
    for i in range(1, len(rows) + 1):
        if i == len(rows) or rows[i] != rows[i - 1] + 1 or runs[i] != runs[start]:
            yield start, i
            start = i
