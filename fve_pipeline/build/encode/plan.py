"""The plan: one row a sample, in an order that only the inputs decide. Pure functions; no disk.

Rows come in runs: every slice of one (case, rendition, view), in order and never broken, since lazy encoding
needs the neighbours. Cases come in catalog order. Shards are consecutive rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa

from fve_pipeline.build.prepare.facts import CaseFacts
from fve_pipeline.build.splits import split_of
from fve_pipeline.imaging.views import VIEWS, ViewRule, choose_views
from fve_pipeline.store.schema import StoreSettings

__all__ = [
    "PlanSettings",
    "PlannedRun",
    "Segment",
    "ShardPlan",
    "case_split",
    "case_views",
    "index_table",
    "plan_hash",
    "plan_runs",
    "plan_settings",
    "plan_shards",
    "split_and_views",
]


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """What decides the rows: the view rule (or view names, comma-separated), splits and shard length."""

    views: str
    training_views: bool
    seed: int
    val_fraction: float
    test_fraction: float
    shard_samples: int


def plan_settings(settings: StoreSettings) -> PlanSettings:
    """Return the part of the settings that decides the rows."""
    return PlanSettings(
        views=settings.views_rule,
        training_views=settings.training_views,
        seed=settings.seed,
        val_fraction=settings.val_fraction,
        test_fraction=settings.test_fraction,
        shard_samples=settings.shard_samples,
    )


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """All ``length`` slices of one (case, rendition, view), from row ``first_row`` on."""

    case: str
    rendition: str
    view: str
    length: int
    first_row: int


@dataclass(frozen=True, slots=True)
class Segment:
    """Slices ``start:stop`` of a run, out of ``length``: the part that lies in one shard."""

    case: str
    rendition: str
    view: str
    length: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """One shard: rows ``first_row`` to ``first_row + n_rows``, of which the first ``copied`` are already in
    the store and are taken over as they are (the tail shard of a store that grows)."""

    shard: int
    first_row: int
    n_rows: int
    copied: int
    segments: tuple[Segment, ...]


def case_split(subject: str, named: str | None, settings: PlanSettings) -> str:
    """The split that the catalog names, else the subject's hash."""
    return named or split_of(subject, settings.seed, settings.val_fraction, settings.test_fraction)


def case_views(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], split: str, settings: PlanSettings
) -> tuple[str, ...]:
    """Views of one case: by rule, with the additional ones for training cases only, or as named.

    ``shape`` and ``spacing`` (mm) are (z,y,x).
    """
    if settings.views in ("paper", "released"):
        training = settings.training_views and split == "train"
        return choose_views(shape, spacing, rule=cast("ViewRule", settings.views), training=training)
    return tuple(settings.views.split(","))


def split_and_views(facts: CaseFacts, settings: PlanSettings) -> tuple[str, tuple[str, ...]]:
    """Split and views of a prepared case."""
    split = case_split(facts.subject, facts.split, settings)
    return split, case_views(facts.shape, facts.spacing, split, settings)


_WORDS = (
    "dataset",
    "case",
    "subject",
    "modality",
    "rendition",
    "view",
    "split",
    "source",
    "source_sha256",
)


def plan_runs(cases: Iterable[CaseFacts], settings: PlanSettings, first_row: int = 0) -> list[PlannedRun]:
    """Rows of ``cases`` in their order, then rendition, then view; numbered from ``first_row``."""
    runs = []
    row = first_row
    for facts in cases:
        _, views = split_and_views(facts, settings)
        for rendition in facts.renditions:
            for view in views:
                length = facts.shape[VIEWS.index(view)]
                runs.append(PlannedRun(facts.case, rendition, view, length, row))
                row += length
    return runs


def plan_shards(runs: Sequence[PlannedRun], shard_samples: int) -> Iterator[ShardPlan]:
    """Cut runs into shards of ``shard_samples`` rows. The first may begin inside a shard (appending)."""
    if not runs:
        return
    first_new = runs[0].first_row
    row = first_new
    segments: list[Segment] = []
    for run in runs:
        start = 0
        while start < run.length:
            room = shard_samples - row % shard_samples
            stop = min(run.length, start + room)
            segments.append(Segment(run.case, run.rendition, run.view, run.length, start, stop))
            row += stop - start
            start = stop
            if row % shard_samples == 0:
                yield _shard(row, first_new, shard_samples, segments)
                segments = []
    if segments:
        yield _shard(row, first_new, shard_samples, segments)


def _shard(end: int, first_new: int, shard_samples: int, segments: list[Segment]) -> ShardPlan:
    shard = (end - 1) // shard_samples
    first_row = shard * shard_samples
    copied = max(0, first_new - first_row)
    return ShardPlan(shard, first_row, end - first_row, copied, tuple(segments))


def plan_hash(shard: ShardPlan, encoding: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Name everything that decides a shard's bytes: settings, rows, and the inputs of the cases it holds.

    ``encoding`` are the settings of the encode stage with its version; ``inputs`` maps a case to the hash of
    what it was prepared from.
    """
    described = {
        "encoding": dict(encoding),
        "plan": asdict(shard),
        "inputs": {segment.case: inputs[segment.case] for segment in shard.segments},
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def index_table(
    runs: Sequence[PlannedRun], facts: Mapping[str, CaseFacts], settings: PlanSettings
) -> pa.Table:
    """Index columns that the plan knows, a row a sample; the class columns come from the receipts.

    ``z_mm`` is the LPS coordinate, in mm, of the slice along the sliced axis.
    """
    lengths = np.array([run.length for run in runs], dtype=np.int64)
    of_run = pa.array(np.repeat(np.arange(len(runs)), lengths))
    columns: dict[str, list[Any]] = {name: [] for name in (*_WORDS, "spacing", "shape", "z_mm")}
    found: CaseFacts | None = None
    for run in runs:
        if found is None or found.case != run.case:  # facts may be unpacked at each look
            found = facts[run.case]
        split, _ = split_and_views(found, settings)
        words = (found.dataset, run.case, found.subject, found.modality, run.rendition, run.view, split)
        for name, value in zip(_WORDS, (*words, found.source, found.source_sha256), strict=True):
            columns[name].append(value)
        columns["spacing"].append(found.spacing)
        columns["shape"].append(_in_plane(found, run.view))
        columns["z_mm"].append(_positions(found, run))

    def numbers(name: str, dtype: Any, width: int) -> pa.Array:
        flat = np.asarray(columns[name], dtype=dtype).reshape(len(runs), width)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), width).take(of_run)

    planned = {name: pa.array(columns[name], pa.string()).dictionary_encode().take(of_run) for name in _WORDS}
    planned["slice"] = pa.array(np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]))
    planned["z_mm"] = pa.array(np.concatenate(columns["z_mm"]))
    planned["spacing"] = numbers("spacing", np.float32, 3)
    planned["shape"] = numbers("shape", np.int32, 2)
    return pa.table(planned)


def _positions(facts: CaseFacts, run: PlannedRun) -> np.ndarray[Any, np.dtype[np.float32]]:
    axis = VIEWS.index(run.view)
    world = 2 - axis  # array axis z is world axis 2, y is 1, x is 0
    origin, step = facts.affine[world][3], facts.affine[world][axis]
    return (origin + step * np.arange(run.length)).astype(np.float32)


def _in_plane(facts: CaseFacts, view: str) -> tuple[int, ...]:
    axis = VIEWS.index(view)
    return tuple(n for i, n in enumerate(facts.shape) if i != axis)
