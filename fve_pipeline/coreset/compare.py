"""Methods beside random: what each covers, how balanced it is, how far the left-out cases are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fve_pipeline.coreset.descriptors import describe, standardise
from fve_pipeline.coreset.method import SelectionSettings
from fve_pipeline.coreset.select import Pool, select
from fve_pipeline.coreset.selection import Selection
from fve_pipeline.coreset.table import CaseTable

__all__ = ["METRICS", "Comparison", "Metric", "compare", "measure"]

Rows = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


class Metric(NamedTuple):
    """One number about a selection; ``sign`` is 1 where more is better and -1 where less is."""

    name: str
    sign: int
    meaning: str


METRICS = (
    Metric("classes_1", 1, "classes with at least 1 positive case"),
    Metric("classes_5", 1, "classes with at least 5"),
    Metric("classes_10", 1, "classes with at least 10"),
    Metric("short_of_5", -1, "classes with fewer than 5 although the pool has 5 or more"),
    Metric("worst_class", 1, "positive cases of the worst class that the pool has"),
    Metric("dataset_entropy", 1, "balance over datasets: entropy, 1 = all the same"),
    Metric("dataset_largest", -1, "largest share of one dataset"),
    Metric("modality_entropy", 1, "balance over modalities: entropy, 1 = all the same"),
    Metric("modality_largest", -1, "largest share of one modality"),
    Metric("distance_mean", -1, "left-out cases to the nearest chosen: mean descriptor distance"),
    Metric("distance_p95", -1, "the same, 95th percentile"),
    Metric("distance_max", -1, "the same, largest"),
)
PROXY = Metric("proxy_dice", 1, "small segmentation probe: Dice on held-out subjects")


@dataclass(frozen=True, eq=False)
class Comparison:
    """``values``: float64 (methods, seeds, metrics). ``possible``: what the whole pool reaches."""

    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    metrics: tuple[Metric, ...]
    values: Floats
    possible: dict[str, float]
    cases: int
    chosen: int
    notes: dict[str, tuple[str, ...]]

    def of(self, method: str, metric: str) -> Floats:
        """One value a seed."""
        names = [m.name for m in self.metrics]
        return self.values[self.methods.index(method), :, names.index(metric)]

    def verdict(self, method: str, metric: str) -> str:
        """Return ``better`` or ``worse`` only where every seed is beyond every random seed, else ``overlaps``.

        ``same`` when all values are equal.
        """
        mine, base = self.of(method, metric), self.of("random", metric)
        sign = next(m.sign for m in self.metrics if m.name == metric)
        if np.array_equal(np.unique(mine), np.unique(base)) and len(np.unique(base)) == 1:
            return "same"
        if (sign * mine).min() > (sign * base).max():
            return "better"
        if (sign * mine).max() < (sign * base).min():
            return "worse"
        return "overlaps"

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``: every value, mean, spread and verdict."""
        table = {
            method: {
                metric.name: {
                    "values": self.of(method, metric.name).tolist(),
                    "mean": float(self.of(method, metric.name).mean()),
                    "sd": float(self.of(method, metric.name).std(ddof=1)) if len(self.seeds) > 1 else None,
                    "against_random": None if method == "random" else self.verdict(method, metric.name),
                }
                for metric in self.metrics
            }
            for method in self.methods
        }
        return {
            "cases": self.cases,
            "chosen": self.chosen,
            "seeds": list(self.seeds),
            "possible": self.possible,
            "methods": table,
            "notes": {method: list(notes) for method, notes in self.notes.items()},
        }


def compare(
    pool: Pool,
    methods: Sequence[str],
    *,
    seeds: int = 3,
    cases: int | None = None,
    fraction: float | None = None,
    settings: SelectionSettings | None = None,
    features: np.ndarray[Any, np.dtype[np.float32]] | None = None,
    proxy: Callable[[Selection, int], float] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Choose with every method and with random, ``seeds`` times each, and measure.

    ``features`` are as for ``select``. ``proxy(selection, seed)`` scores a selection with a trained probe; its
    score is one more metric.
    """
    table = pool.table
    names = ("random", *(name for name in dict.fromkeys(methods) if name != "random"))
    metrics = METRICS if proxy is None else (*METRICS, PROXY)
    common = standardise(describe(table))
    row_of = {case: row for row, case in enumerate(table.ids)}
    values = np.empty((len(names), seeds, len(metrics)))
    notes: dict[str, tuple[str, ...]] = {}
    chosen = 0
    for m, name in enumerate(names):
        for seed in range(seeds):
            selection = select(
                pool,
                method=name,
                cases=cases,
                fraction=fraction,
                seed=seed,
                settings=settings,
                features=features,
            )
            rows = np.array([row_of[case] for case in selection.case_ids], np.int64)
            numbers = list(measure(table, rows, common).values())
            if proxy is not None:
                numbers.append(proxy(selection, seed))
            values[m, seed] = numbers
            notes[name] = selection.notes
            chosen = len(rows)
            progress(name)
    whole = measure(table, np.arange(len(table)), common)
    possible = {name: whole[name] for name in ("classes_1", "classes_5", "classes_10", "worst_class")}
    return Comparison(names, tuple(range(seeds)), metrics, values, possible, len(table), chosen, notes)


def measure(table: CaseTable, rows: Rows, common: np.ndarray[Any, np.dtype[np.float32]]) -> dict[str, float]:
    """Return the numbers of ``METRICS`` for these rows; ``common`` are descriptors that compare across datasets."""
    pool, have = table.positives(), table.take(rows).positives()
    out: dict[str, float] = {f"classes_{k}": float((have >= k).sum()) for k in (1, 5, 10)}
    out["short_of_5"] = float(((have < 5) & (pool >= 5)).sum())
    out["worst_class"] = (
        float(have[pool > 0].min(initial=np.iinfo(np.int64).max)) if (pool > 0).any() else 0.0
    )
    for kind, column in (("dataset", table.dataset), ("modality", table.modality)):
        present = column.counts() > 0
        share = column.take(rows).counts()[present] / len(rows)
        some = share[share > 0]
        most = np.log(present.sum())
        out[f"{kind}_entropy"] = float(-(some * np.log(some)).sum() / most) if most else 1.0
        out[f"{kind}_largest"] = float(share.max())
    left = np.setdiff1d(np.arange(len(table)), rows)
    distance = nearest_distance(common[left], common[rows])
    out["distance_mean"] = float(distance.mean()) if len(left) else 0.0
    out["distance_p95"] = float(np.percentile(distance, 95)) if len(left) else 0.0
    out["distance_max"] = float(distance.max(initial=0.0))
    return out


def nearest_distance(
    points: np.ndarray[Any, np.dtype[np.float32]], chosen: np.ndarray[Any, np.dtype[np.float32]]
) -> Floats:
    """Euclidean distance of each point to its nearest chosen one, in blocks of bounded memory."""
    squared = (chosen.astype(np.float64) ** 2).sum(1)
    out = np.empty(len(points))
    step = max(1, (64 << 20) // (8 * max(len(chosen), 1)))
    for start in range(0, len(points), step):
        block = points[start : start + step].astype(np.float64)
        distance = squared - 2 * (block @ chosen.T.astype(np.float64)) + (block**2).sum(1)[:, None]
        out[start : start + step] = np.sqrt(np.maximum(distance.min(1), 0))
    return out
