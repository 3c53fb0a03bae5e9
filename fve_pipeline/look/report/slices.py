"""Slices to look at: a few cases of every dataset, as pictures with outlines."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from fve_pipeline.imaging.encoding import decode
from fve_pipeline.loading.encoded_rows import encoded_rows
from fve_pipeline.look.contact_sheet import class_colour
from fve_pipeline.store.reader import Store
from fve_pipeline.store.runs import Runs

__all__ = ["ShownRun", "choose_runs", "picture_url", "show_run"]

SIDE = 256
_THUMB = SIDE // 4


@dataclass(frozen=True, slots=True)
class ShownRun:
    """Slices ``places`` of a run, ``rows`` of the store: one case, rendition and view."""

    case: str
    dataset: str
    rendition: str
    view: str
    rows: range
    places: tuple[int, ...]


def choose_runs(store: Store, slices: int, cases_each: int = 3) -> list[ShownRun]:
    """About ``slices`` slices: for each dataset, rendition and view up to ``cases_each`` cases, spread over the
    store, and of each case slices spread over its labelled part (over all of it when nothing is labelled)."""
    runs = _runs(store)
    groups: dict[tuple[str, str, str], list[ShownRun]] = {}
    for run in runs:
        groups.setdefault((run.dataset, run.rendition, run.view), []).append(run)
    picked = []
    for group in groups.values():
        places = np.unique(np.linspace(0, len(group) - 1, min(cases_each, len(group))).round().astype(int))
        picked += [group[place] for place in places.tolist()]
    if len(picked) * 4 > slices and cases_each > 1:
        return choose_runs(store, slices, cases_each - 1)
    each = int(np.clip(slices // max(len(picked), 1), 4, 24))
    labels = store.index.column("class_ids")
    out = []
    for run in picked:
        labelled = [i for i, ids in enumerate(labels.slice(run.rows.start, len(run.rows)).to_pylist()) if ids]
        low, high = (labelled[0], labelled[-1]) if labelled else (0, len(run.rows) - 1)
        places = np.unique(np.linspace(low, high, each).round().astype(int))
        out.append(replace(run, places=tuple(places.tolist())))
    return out


def _runs(store: Store) -> list[ShownRun]:
    index = store.index
    columns = [index.column(name) for name in ("case", "dataset", "rendition", "view")]
    out = []
    for run in Runs.of(index):
        case, dataset, rendition, view = (column[run.start].as_py() for column in columns)
        out.append(ShownRun(case, dataset, rendition, view, run, ()))
    return out


def show_run(
    store: Store, run: ShownRun, limit: int
) -> tuple[dict[str, Any], np.ndarray[Any, np.dtype[np.uint8]]]:
    """What the page needs of one run, and its focal slices (n,S,S) uint8.

    The picture is one WebP: a row a slice, with the focal slice, the decoded slices before it and those after
    it side by side. Outlines are paths in the focal slice's pixels.
    """
    images = encoded_rows(store, run.rows, run.places)
    masks = store.mask_rows.take([run.rows[place] for place in run.places])
    order = store.settings.order
    rows = [_panels(image, order) for image in images]
    classes = store.class_table.shown(run.dataset, run.rendition)
    z_mm = store.index.column("z_mm")
    shown = {
        "case": run.case,
        "dataset": run.dataset,
        "rendition": run.rendition,
        "view": run.view,
        "length": len(run.rows),
        "places": list(run.places),
        "mm": [round(z_mm[run.rows[place]].as_py(), 2) for place in run.places],
        "picture": picture_url(np.vstack(rows), limit),
        "height": rows[0].shape[0],
        "classes": [
            {
                "id": one.class_id,
                "name": one.name,
                "colour": f"#{bytes(class_colour(one.class_id)).hex()}",
                "union": len(one.label_ids) > 1,
            }
            for one in classes
        ],
        "paths": [[_outline(mask, one.ids) for one in classes] for mask in masks],
    }
    return shown, np.ascontiguousarray(images[..., 0])


def _panels(image: np.ndarray[Any, np.dtype[np.uint8]], order: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(height, 3·SIDE): focal slice; nearest slice before, farther ones below it; the same after."""
    decoded = decode(image, order)
    columns = [[decoded.focal], decoded.before, decoded.after]
    strips = max(0, -(-(max(len(c) for c in columns) - 1) // 4))
    out = np.zeros((SIDE + strips * _THUMB, 3 * SIDE), np.uint8)
    for number, slices in enumerate(columns):
        left = number * SIDE
        for place, pixels in enumerate(slices):
            if place == 0:
                out[:SIDE, left : left + SIDE] = _fit(pixels, SIDE)
            else:
                y, x = divmod(place - 1, 4)
                top, at = SIDE + y * _THUMB, left + x * _THUMB
                out[top : top + _THUMB, at : at + _THUMB] = _fit(pixels, _THUMB)
    return out


def _fit(pixels: np.ndarray[Any, np.dtype[np.uint8]], side: int) -> np.ndarray[Any, Any]:
    smaller = pixels.shape[0] >= side
    mode = cv2.INTER_AREA if smaller else cv2.INTER_NEAREST
    fitted: np.ndarray[Any, Any] = cv2.resize(np.ascontiguousarray(pixels), (side, side), interpolation=mode)
    return fitted


def _outline(mask: np.ndarray[Any, Any], ids: tuple[int, ...]) -> str:
    """The SVG path around each label id of a class (each instance, without ids); "" where there is none."""
    small = cv2.resize(mask.astype(np.uint16), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST_EXACT)
    wanted = [np.isin(small, ids)] if ids else [small == i for i in np.unique(small[small > 0])]
    parts = []
    for region in wanted:
        found, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        for contour in found:
            points = cv2.approxPolyDP(contour, 0.6, True)[:, 0].tolist()
            parts.append("M" + "L".join(f"{x} {y}" for x, y in points) + "Z")
    return "".join(parts)


def picture_url(picture: np.ndarray[Any, np.dtype[np.uint8]], limit: int = 1 << 20) -> str:
    """A grey or RGB picture as a WebP inside a URL; of lower quality where it takes more than ``limit`` bytes."""
    stored = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    for quality in (75, 50, 25, 10):
        _, data = cv2.imencode(".webp", stored, [cv2.IMWRITE_WEBP_QUALITY, quality])
        if len(data) <= limit:
            break
    return "data:image/webp;base64," + base64.b64encode(data.tobytes()).decode()
