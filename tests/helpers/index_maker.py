"""Index tables without a store, for samplers, which need no disk."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fve_pipeline.loading.samples import SampleIndex


def table(
    cases: dict[str, int],
    *,
    views: tuple[str, ...] = ("axial",),
    held: dict[int, float] | None = None,
    split: str = "train",
    seed: int = 0,
) -> pa.Table:
    """Rows of cases, "dataset/name" to slices a view; ``held`` gives each class's chance to be in a slice."""
    rows = [(case, view, z) for case, n in cases.items() for view in views for z in range(n)]
    rng = np.random.default_rng(seed)
    classes = held if held is not None else {1: 0.5}
    present = [[c for c, chance in classes.items() if rng.random() < chance] for _ in rows]
    words = {
        "dataset": [case.split("/")[0] for case, _, _ in rows],
        "case": [case for case, _, _ in rows],
        "rendition": ["image"] * len(rows),
        "view": [view for _, view, _ in rows],
        "split": [split] * len(rows),
    }
    columns = {name: pa.array(values).dictionary_encode() for name, values in words.items()}
    columns["slice"] = pa.array([z for _, _, z in rows], pa.int32())
    columns["class_ids"] = pa.array(present, pa.list_(pa.uint16()))
    return pa.table(columns)


def index(*tables: pa.Table) -> SampleIndex:
    return SampleIndex.of(tables)


def many(datasets: dict[str, int], slices: int = 20, **options: object) -> SampleIndex:
    """Datasets with so many cases each, of ``slices`` slices."""
    cases = {f"{name}/{i}": slices for name, n in datasets.items() for i in range(n)}
    return index(table(cases, **options))  # type: ignore[arg-type]
