"""A page of pairs that show one scan: the same planes of both beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fve_pipeline.build.duplicates import DuplicateGroup, ListedCase, SamePair
from fve_pipeline.build.fingerprints import CaseRun, axial_runs
from fve_pipeline.build.scan import SCAN
from fve_pipeline.duplicates import Fingerprinter
from fve_pipeline.imaging.resample import Fit
from fve_pipeline.look.report import html
from fve_pipeline.look.report.slices import picture_url
from fve_pipeline.store.reader import Store, open_store

__all__ = ["duplicates_page"]

_SIDE = 192
_PLANES = 3
_PAIRS = 200


def duplicates_page(groups: Sequence[DuplicateGroup], compared: int) -> str:
    """Return the page, self-contained. Pairs of a scan's cases have no pictures: a scan keeps none."""
    shelf = _Opened()
    parts, shown = [], 0
    for number, group in enumerate(groups, 1):
        rows = [(case.case, case.dataset, case.subject, case.split, case.where) for case in group.cases]
        content = [html.table(("case", "data set", "subject", "split", "in"), rows, caption="")]
        for pair in group.pairs:
            shown += 1
            content.append(_pair(shelf, group, pair, pictures=shown <= _PAIRS))
        leak = f" — in the splits {', '.join(group.splits)}" if len(group.splits) > 1 else ""
        parts.append(html.section(f"g{number}", f"{len(group.cases)} cases, one scan{leak}", *content))
    style = files("fve_pipeline.look.report").joinpath("page.css").read_text("utf-8")
    told = f"{compared:,} cases compared; {len(groups):,} scans are there more than once."
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Duplicates</title>'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        f"style-src 'unsafe-inline'\"><style>{style}</style></head><body><header><h1>Duplicates</h1></header>"
        f'<main id="main">{html.paragraph(told)}{"".join(parts)}</main></body></html>\n'
    )


def _pair(shelf: _Opened, group: DuplicateGroup, pair: SamePair, *, pictures: bool) -> str:
    first, second, like = group.cases[pair.first], group.cases[pair.second], pair.likeness
    turned = f", the second's {like.flipped} turned round" if like.flipped else ""
    text = (
        f"{first.case} and {second.case}: {like.score:.3f} where {like.needed:.3f} is needed, over {like.planes} "
        f"planes{turned}."
    )
    picture = ""
    if pictures and not shelf.is_scan(first) and not shelf.is_scan(second):
        columns = []
        for at in np.linspace(0, 1, _PLANES + 2)[1:-1]:
            there = 1 - at if "z" in like.flipped else at
            here = shelf.plane(first, round(like.first[0] + at * (like.first[1] - like.first[0])), "")
            other = round(like.second[0] + there * (like.second[1] - like.second[0]))
            columns.append(np.vstack([here, shelf.plane(second, other, like.flipped)]))
        label = escape(f"{first.case} above, {second.case} below", quote=True)
        picture = f'<p><img alt="{label}" src="{picture_url(np.hstack(columns))}"></p>'
    return html.paragraph(text) + picture


class _Opened:
    """Stores, each opened once, and where their cases' slices lie."""

    def __init__(self) -> None:
        self._stores: dict[str, tuple[Store, dict[str, CaseRun]]] = {}

    @staticmethod
    def is_scan(case: ListedCase) -> bool:
        return (Path(case.where) / SCAN).is_file()

    def plane(self, case: ListedCase, plane: int, flipped: str) -> NDArray[Any]:
        """Return the slice in the middle of a fingerprint's plane, turned round as is said."""
        if case.where not in self._stores:
            store = open_store(case.where)
            self._stores[case.where] = store, {run.case: run for run in axial_runs(store)}
        store, runs = self._stores[case.where]
        run = runs[case.case]
        middle = Fingerprinter((len(run.rows), *run.plane), run.spacing).middle(plane)
        pixels = store.pixel_rows.take([run.rows[middle]])
        focal = np.ascontiguousarray(pixels if pixels.ndim == 3 else pixels[..., 0])
        image = Fit(run.plane, store.settings.size, store.settings.resize).restore_images(focal)[0]
        image = image[:: -1 if "y" in flipped else 1, :: -1 if "x" in flipped else 1]
        return np.asarray(
            cv2.resize(np.ascontiguousarray(image), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        )
