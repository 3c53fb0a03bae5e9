"""A store's contact sheet: its best labelled slices, dataset by dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fve_pipeline.look.contact_sheet import draw_sheet, write_png
from fve_pipeline.store.reader import Store

__all__ = ["write_sheet"]


def write_sheet(store: Store, path: Path, rows_per_run: int = 4) -> None:
    """Write a contact sheet: for each dataset and rendition, slices with most labelled pixels of one case."""
    index = store.index
    keys = zip(*(index.column(name).to_pylist() for name in ("dataset", "rendition")), strict=True)
    labelled = np.array([sum(pixels or []) for pixels in index.column("class_pixels").to_pylist()])
    groups: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    picked = []
    for (dataset, rendition), rows in groups.items():
        ranked = sorted((row for row in rows if labelled[row]), key=lambda row: -labelled[row])
        # Spread over the labelled slices, so that neighbours do not fill the sheet.
        for row in ranked[:: max(1, len(ranked) // rows_per_run)][:rows_per_run]:
            picked.append((row, f"{dataset} {rendition} {index.column('slice')[row].as_py()}"))
    if not picked:  # nothing is labelled: the middle slices, then
        picked = [
            (rows[len(rows) // 2], f"{dataset} {rendition}") for (dataset, rendition), rows in groups.items()
        ]
    images, masks = zip(*(store.sample(row) for row, _ in picked), strict=True)
    datasets = [index.column("dataset")[row].as_py() for row, _ in picked]
    regions = [store.class_table.regions(*pair) for pair in zip(datasets, masks, strict=True)]
    write_png(path, draw_sheet(images, regions, [caption for _, caption in picked], columns=rows_per_run))
