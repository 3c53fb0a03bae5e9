"""What a selection holds, against what there was, in a few numbers."""

from __future__ import annotations

from typing import Any

from fve_pipeline.coreset.floors import class_shortfall
from fve_pipeline.coreset.select import Pool
from fve_pipeline.coreset.selection import Selection

__all__ = ["summarise"]


def summarise(selection: Selection, pool: Pool) -> dict[str, Any]:
    """Return counts for people and for ``--json``; ``pool_...`` is what the whole pool has.

    Chosen cases that are not in the pool (a selection from several stores) are not counted.
    """
    table = pool.table
    row_of = {case: row for row, case in enumerate(table.ids)}
    rows = [row_of[case] for case in selection.case_ids if case in row_of]
    chosen = table.take(rows)
    have, whole = chosen.positives(), table.positives()
    datasets = chosen.dataset.counts()
    short, _ = class_shortfall(table, rows, selection.settings.class_floor)
    out: dict[str, Any] = {
        "method": selection.method,
        "seed": selection.seed,
        "cases": len(rows),
        "eligible": selection.eligible,
        "duplicates": selection.duplicates,
        "datasets": int((datasets > 0).sum()),
        "pool_datasets": int((table.dataset.counts() > 0).sum()),
        "largest_dataset": table.dataset.names[int(datasets.argmax())],
        "largest_share": float(datasets.max() / len(rows)),
    }
    for k in (1, 5, 10):
        out[f"classes_{k}"] = int((have >= k).sum())
        out[f"pool_classes_{k}"] = int((whole >= k).sum())
    out["short_classes"] = [str(table.classes[number]) for number in short.tolist()]
    out["notes"] = list(selection.notes)
    return out
