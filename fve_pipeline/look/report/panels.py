"""Image, truth and prediction side by side, for the worst and the best cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fve_pipeline.errors import FveError
from fve_pipeline.evaluation.pairs import Pair, match_folders
from fve_pipeline.imaging.intensity import to_uint8
from fve_pipeline.imaging.resample import Fit
from fve_pipeline.imaging.windows import parse_window
from fve_pipeline.look.contact_sheet import class_colour
from fve_pipeline.look.report import html
from fve_pipeline.look.report.slices import picture_url
from fve_pipeline.volume import Volume, read_image, read_labels
from fve_pipeline.volume.label_file import LabelFile

__all__ = ["PanelFolders", "ScoredCase", "panels"]

_SIDE = 256
_AIR = -500  # HU


@dataclass(frozen=True, slots=True)
class PanelFolders:
    """Where the files of scored cases are. ``images`` may be the truths' folder when those are npz."""

    pred: Path
    truth: Path
    images: Path


@dataclass(frozen=True, slots=True)
class ScoredCase:
    """A case with its score; ``window`` is how it is shown, ``classes`` are the ids that were scored, of all if none."""

    case: str
    score: float
    modality: str
    window: str | None
    classes: frozenset[int]


def panels(cases: Sequence[ScoredCase], folders: PanelFolders) -> str:
    """One figure a case: three pictures of the slice where truth and prediction differ most (where the truth is largest,
    when they agree), with outlines of the classes that were scored. Cases whose files are not all there are named.

    A file that cannot be read is named in place of its panel. Raises EvaluationError when no names match.
    """
    labels = _by_case(folders.pred, folders.truth)
    images = _by_case(folders.images, folders.truth)
    figures, missing = [], []
    for one in cases:
        case = one.case
        if case not in labels or case not in images:
            missing.append(case)
            continue
        try:
            picture, place, count, window = _picture(labels[case], images[case].pred, one)
        except FveError as error:  # one file costs its own panel
            figures.append(html.paragraph(f"{case}: {error}", "note"))
            continue
        told = (
            f"{case}: {one.score:.3f}, slice {place} of 0 to {count - 1}{window}. Image, truth, prediction."
        )
        figures.append(
            f'<figure><img alt="{escape(told)}" width="{3 * _SIDE}" height="{_SIDE}" loading="lazy" '
            f'src="{picture_url(picture)}"><figcaption>{escape(told)}</figcaption></figure>'
        )
    lost = html.paragraph(f"No files for {', '.join(missing)}.", "note") if missing else ""
    return f'<div class="panels">{"".join(figures)}</div>{lost}'


def _by_case(pred: Path, truth: Path) -> dict[str, Pair]:
    return {pair.case: pair for pair in match_folders(pred, truth)[0]}


def _picture(
    pair: Pair, image: Path, shown: ScoredCase
) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], int, int, str]:
    """(SIDE, 3·SIDE, 3) RGB, the slice shown, how many there are, and the window in words."""
    volume = read_image(image, modality=shown.modality or None)
    truth, pred = (
        _scored(_labels(path, member, volume), shown.classes)
        for path, member in ((pair.truth, "gts"), (pair.pred, "segs"))
    )
    differing = (truth != pred).sum((1, 2))
    place = int(np.argmax(differing if differing.any() else (truth > 0).sum((1, 2))))
    scaled = volume.array.dtype == np.uint8
    # Air outside of a patient is what only CT has: a file that says no modality is shown as one, not nearly black.
    air = not scaled and float(volume.array.min()) <= _AIR
    kind = shown.modality or volume.modality or ("CT" if air else "MR")
    name = shown.window or ("soft_tissue" if kind == "CT" else None)
    window = parse_window(name) if name is not None and kind == "CT" and not scaled else None
    grey, _ = to_uint8(volume.array[place : place + 1], modality=kind, window=window, scaled=scaled)
    fit = Fit((grey.shape[1], grey.shape[2]), _SIDE)
    ground = cv2.cvtColor(fit.images(grey)[0], cv2.COLOR_GRAY2RGB)
    drawn = [ground, *(_outlined(ground, fit.masks(m[place : place + 1])[0]) for m in (truth, pred))]
    return np.hstack(drawn), place, len(truth), f", window {name}" if window is not None else ""


def _scored(
    labels: np.ndarray[Any, np.dtype[np.uint16]], classes: frozenset[int]
) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return the labels of the classes that were scored; of all where no class was scored by itself."""
    return np.where(np.isin(labels, sorted(classes)), labels, np.uint16(0)) if classes else labels


def _labels(path: Path, member: str, like: Volume) -> np.ndarray[Any, np.dtype[np.uint16]]:
    file = LabelFile(path.name, member=member if path.suffix == ".npz" else None)
    return read_labels([file], path.parent, like).array


def _outlined(
    ground: np.ndarray[Any, np.dtype[np.uint8]], mask: np.ndarray[Any, Any]
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    out = ground.copy()
    for label in np.unique(mask[mask > 0]).tolist():
        found, _ = cv2.findContours((mask == label).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out, found, -1, class_colour(label), 1)
    return out
