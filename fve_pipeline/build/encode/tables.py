"""Rows of the store's tables from what the stages found. Pure functions over facts, plans and receipts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from fve_pipeline.build.encode.plan import PlannedRun, PlanSettings, index_table, split_and_views
from fve_pipeline.build.prepare.facts import CaseFacts
from fve_pipeline.store.tables import CASES_SCHEMA, INDEX_SCHEMA

__all__ = ["RowClasses", "case_rows", "index_rows"]


# Class ids that a row shows, and their pixels.
RowClasses = tuple[Sequence[int], Sequence[int]]


def index_rows(
    runs: Sequence[PlannedRun],
    facts: Mapping[str, CaseFacts],
    settings: PlanSettings,
    shown: Iterable[RowClasses],
) -> pa.Table:
    """Return the index of the rows that ``runs`` plan; ``shown`` are their classes, row by row."""
    lengths: list[int] = []
    ids: list[int] = []
    pixels: list[int] = []
    for row_ids, row_pixels in shown:
        lengths.append(len(row_ids))
        ids.extend(row_ids)
        pixels.extend(row_pixels)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    planned = index_table(runs, facts, settings)
    columns = {name: planned.column(name) for name in planned.column_names}
    columns["class_ids"] = pa.ListArray.from_arrays(offsets, pa.array(ids, pa.uint16()))
    columns["class_pixels"] = pa.ListArray.from_arrays(offsets, pa.array(pixels, pa.uint32()))
    return pa.table([columns[name] for name in INDEX_SCHEMA.names], names=INDEX_SCHEMA.names).cast(
        INDEX_SCHEMA
    )


def case_rows(cases: Iterable[CaseFacts], settings: PlanSettings, samples: Mapping[str, int]) -> pa.Table:
    """``cases.parquet`` of these cases; ``samples`` counts their rows in the index."""
    rows = []
    for facts in cases:
        split, views = split_and_views(facts, settings)
        shared = facts.model_dump(include=set(CASES_SCHEMA.names))
        rows.append(
            shared
            | {
                "split": split,
                "views": list(views),
                "class_ids": [found.class_id for found in facts.classes],
                "class_voxels": [found.voxels for found in facts.classes],
                "class_extent": [list(found.extent) for found in facts.classes],
                "class_centroid": [list(found.centroid) for found in facts.classes],
                "n_samples": samples[facts.case],
            }
        )
    return pa.Table.from_pylist(rows, schema=CASES_SCHEMA)
