"""Dual-rate sampling (DRS): sub-volumes of a run of slices, each read densely and sparsely. Pure, no disk.

A run is what a sequence may lie in: consecutive slices of one case, rendition and view, without a gap.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.loading.hashing import Stream, mix
from fve_pipeline.loading.samples import SampleIndex
from fve_pipeline.store.runs import Runs

__all__ = ["SubVolume", "draw_classes", "paths", "sequence_runs", "sub_volume", "window_starts"]

_AXES = {"axial": 0, "coronal": 1, "sagittal": 2}

# A step in z longer than this many spacings is a gap; oblique stacks take shorter steps along their axis.
_GAP = 1.5


def paths(settings: Bio2VolSettings) -> tuple[range, ...]:
    """Places in a sub-volume that each path reads: 0, r, 2r, … below its depth (section 2.1).

    The dense path, and the sparse one if there is one. With the paper's settings 7 and 4 slices, both ends
    seen by both.
    """
    rates = [settings.dense_rate, settings.sparse_rate]
    return tuple(range(0, settings.depth, rate) for rate in rates if rate)


@dataclass(frozen=True)
class SubVolume:
    """``rows`` are the samples of a run that the paths read, ascending; ``places`` (depth,) says which of them
    each slice of the sub-volume is: past the run's ends the first or last again, −1 for one that no path reads.
    """

    rows: tuple[int, ...]
    places: tuple[int, ...]


def sub_volume(start: int, run: range, settings: Bio2VolSettings) -> SubVolume:
    """The sub-volume that begins at sample ``start``, which may lie outside, of a run."""
    read = sorted({place for path in paths(settings) for place in path})
    rows = {place: min(max(start + place, run.start), run.stop - 1) for place in read}
    ascending = sorted(set(rows.values()))
    number = {row: i for i, row in enumerate(ascending)}
    places = tuple(number[rows[i]] if i in rows else -1 for i in range(settings.depth))
    return SubVolume(tuple(ascending), places)


def window_starts(depth: int, settings: Bio2VolSettings) -> Iterator[int]:
    """First slices of the sub-volumes that predict a volume of ``depth`` slices, ascending.

    Every slice is in a path of one of them: the last ends with the volume, or, where the dense path leaves
    slices out, each slice begins one.
    """
    last = max(0, depth - settings.depth) if settings.dense_rate == 1 else depth - 1
    yield from range(0, last, settings.step)
    yield last


def sequence_runs(index: SampleIndex, tables: Sequence[pa.Table]) -> Runs:
    """Return where sequences may lie: runs of an index, cut where z jumps.

    ``tables`` are those that the index was made of.
    """
    z = np.concatenate([t.column("z_mm").to_numpy() for t in tables])
    spacing = np.concatenate(
        [np.asarray(t.column("spacing").combine_chunks().flatten()).reshape(-1, 3) for t in tables]
    )
    axis = np.array([_AXES[view] for view in index.names["view"]])[index.view]
    step = np.abs(np.diff(z, prepend=z[:1]))
    jumps = step > _GAP * spacing[np.arange(len(axis)), axis]
    return index.runs.cut_at(np.flatnonzero(jumps))


def draw_classes(
    held: Collection[int], every: Sequence[int], count: int, key: tuple[int, ...]
) -> tuple[list[int], NDArray[np.uint64]]:
    """``count`` places in ``every`` (class ids), the first of a class in ``held``, and a number for each.

    The others are drawn without repeats as long as there are any; a function of ``key`` alone. The numbers
    choose the words.
    """
    order = np.argsort(mix(Stream.CLASS, *key, np.arange(len(every))), kind="stable").tolist()
    order.sort(key=lambda place: every[place] not in held)
    first, rest = order[0], order[1:]
    rest = [rest[i] for i in np.argsort(mix(Stream.CLASS, *key, len(every), np.arange(len(rest)))).tolist()]
    picked = [first, *rest]
    return [picked[i % len(picked)] for i in range(count)], mix(Stream.PROMPT, *key, np.arange(count))
