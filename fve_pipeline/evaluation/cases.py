"""Scoring one case: read both label maps, check that they lie in one place, score."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import EvaluationError, FveError
from fve_pipeline.evaluation.apart import ApartMasks, masks_apart
from fve_pipeline.evaluation.labels import whole_labels, wrapped_labels
from fve_pipeline.evaluation.pairs import SUFFIXES, Pair
from fve_pipeline.metrics import (
    ClassScore,
    Convention,
    FindingScore,
    InstanceScore,
    match_instances,
    score_classes,
    score_finding,
    split_components,
)
from fve_pipeline.volume import Header, Volume, read_header, read_image
from fve_pipeline.volume.challenge_npz import TextPrompts, read_text_prompts

__all__ = ["CaseScores", "ScoreSettings", "peak_bytes", "score_case"]


@dataclass(frozen=True)
class ScoreSettings:
    """How cases are scored.

    ``allow_pickle`` lets the pickled ``text_prompts`` of the challenge's npz say, case by case, which classes
    were asked for and whether labels are instances. For a case without them ``class_ids`` and ``instances`` say
    it; where they don't either, ``physical`` scores every id as a class and ``challenge`` scores nothing.
    ``tolerance`` is NSD's, in mm. With ``apart``, classes have masks of their own that may overlap; with ``findings`` too,
    these are findings, whose instances are matched.
    """

    convention: Convention = "physical"
    instances: bool = False
    tolerance: float = 2.0
    allow_pickle: bool = False
    class_ids: tuple[int, ...] | None = None
    apart: bool = False
    findings: bool = False


@dataclass(frozen=True)
class CaseScores:
    """What one case gave: scores a class, or of its instances, or why there are none.

    ``grounded`` are scores of the classes as findings, where asked for. ``prompted``: its own ``text_prompts`` said what
    was asked for.
    """

    pair: Pair
    classes: tuple[ClassScore, ...] = ()
    grounded: tuple[FindingScore, ...] = ()
    instances: InstanceScore | None = None
    error: str | None = None
    prompted: bool = False


def score_case(pair: Pair, settings: ScoreSettings) -> CaseScores:
    """Score one case. What is wrong with its files comes back as ``error`` and stops nothing else."""
    if settings.apart:
        try:
            scored = list(_score_apart(pair, settings))
            classes = tuple(score for score, _ in scored)
            return CaseScores(pair, classes, tuple(found for _, found in scored if found is not None))
        except (FveError, OSError) as error:
            return CaseScores(pair, error=str(error))
    try:
        truth, pred = _read(pair.truth, "gts"), _read(pair.pred, "segs")
        spacing = _spacing(pair, truth)
        _check_same_place(pair, truth, pred, spacing)
        prompts = _prompts(pair) if settings.allow_pickle else None
        if prompts is None and settings.convention == "challenge":
            _check_said(pair, settings)
        as_labels = wrapped_labels if settings.convention == "challenge" else whole_labels
        truth_labels, pred_labels = as_labels(truth.array, pair.truth), as_labels(pred.array, pair.pred)
    except (FveError, OSError) as error:
        return CaseScores(pair, error=str(error))
    if prompts.instances if prompts else settings.instances:
        parts = split_components(pred_labels, settings.convention)
        found = match_instances(truth_labels, parts, convention=settings.convention)
        return CaseScores(pair, instances=found, prompted=prompts is not None)
    scores = score_classes(
        truth_labels,
        pred_labels,
        spacing,
        class_ids=prompts.sentences if prompts else settings.class_ids,
        convention=settings.convention,
        tolerance=settings.tolerance,
    )
    return CaseScores(pair, classes=tuple(scores), prompted=prompts is not None)


def _score_apart(pair: Pair, settings: ScoreSettings) -> Iterator[tuple[ClassScore, FindingScore | None]]:
    """Score each class by its own masks, one at a time in memory; as a finding too, where asked for."""
    truth, pred = (_masks_of(path) for path in (pair.truth, pair.pred))
    place = truth.place()
    spacing, like = place.spacing, place.shape
    _check_same_place(pair, place, pred.place(), spacing)
    for class_id in sorted({*truth, *pred}.intersection(settings.class_ids or {*truth, *pred})):
        masks = truth.mask(class_id, like), pred.mask(class_id, like)
        [score] = score_classes(
            *masks, spacing, class_ids=(1,), convention=settings.convention, tolerance=settings.tolerance
        )
        found = score_finding(*masks) if settings.findings else None
        yield replace(score, class_id=class_id), found


def _masks_of(path: Path) -> ApartMasks | MapMasks:
    apart = masks_apart(path, SUFFIXES)
    return MapMasks(path) if apart is None else apart


class MapMasks:
    """The classes of a label map, as masks."""

    def __init__(self, path: Path) -> None:
        self._volume = _read(path, "gts")
        self._labels = whole_labels(self._volume.array, path)

    def place(self) -> Volume:
        """Return the map with where it lies."""
        return self._volume

    def mask(self, class_id: int, like: tuple[int, int, int]) -> NDArray[np.uint8]:  # noqa: ARG002 (checked before)
        """Return a class's mask, uint8 (z,y,x)."""
        mask: NDArray[np.uint8] = (self._labels == class_id).astype(np.uint8)
        return mask

    def __iter__(self) -> Iterator[int]:
        return (label for label in np.unique(self._labels).tolist() if label)


def peak_bytes(pair: Pair) -> int:
    """What scoring a pair takes at most, from the headers; 0 where they can't be read, which then fails fast.

    Two label maps as read and as ids, and the foreground's pairs of ids.
    """
    try:
        return sum(
            3 * _header(path, member).nbytes for path, member in ((pair.truth, "gts"), (pair.pred, "segs"))
        )
    except (FveError, OSError):
        return 0


def _prompts(pair: Pair) -> TextPrompts | None:
    """The case's prompts: the image's, as in the challenge, else those of a truth that holds them itself."""
    for path in (pair.image, pair.truth):
        if path is not None and path.suffix.lower() == ".npz":
            found = read_text_prompts(path, allow_pickle=True)
            if found is not None:
                return found
    return None


def _check_said(pair: Pair, settings: ScoreSettings) -> None:
    if settings.instances or settings.class_ids is not None:
        return
    if not settings.allow_pickle:
        lacking = (
            "text_prompts of the images, which say what was asked for, are read with --allow-pickle only"
        )
    elif pair.image is None:
        lacking = "has no text_prompts and no image of its name was found; say where with --images"
    else:
        lacking = f"has no text_prompts, and neither has its image {pair.image}"
    msg = (
        f"{pair.truth}: {lacking}. The challenge scores by the prompts' classes and instance_label; "
        "without them, say it for all cases with --classes or --instances."
    )
    raise EvaluationError(msg)


def _spacing(pair: Pair, truth: Volume) -> tuple[float, float, float]:
    """(z,y,x) in mm: the image's, as the challenge has it, else the truth's."""
    for path in (pair.image, pair.truth):
        if path is not None and _has_spacing(path):
            return truth.spacing if path == pair.truth else _header(path, "imgs").spacing
    msg = f"{pair.truth}: has no spacing, without which surfaces have no size; add spacing (x, y, z) in mm."
    raise EvaluationError(msg)


def _header(path: Path, member: str) -> Header:
    return read_header(path, member=member if path.suffix.lower() == ".npz" else None)


def _read(path: Path, member: str) -> Volume:
    return read_image(path, member=member if path.suffix.lower() == ".npz" else None)


def _check_same_place(pair: Pair, truth: Volume, pred: Volume, spacing: tuple[float, float, float]) -> None:
    if truth.array.shape != pred.array.shape:
        msg = (
            f"{pair.pred}: shape {pred.array.shape} (z, y, x); expected {truth.array.shape}, as the truth "
            f"{pair.truth}. Give the prediction on the truth's grid."
        )
        raise EvaluationError(msg)
    if not _has_spacing(pair.pred):
        return
    if not np.allclose(spacing, pred.spacing, rtol=1e-3, atol=1e-6):
        msg = (
            f"{pair.pred}: spacing {pred.spacing} mm (z, y, x); expected {spacing}, as the truth "
            f"{pair.truth}. One of the two headers is wrong."
        )
        raise EvaluationError(msg)
    if truth.located and pred.located:
        corners = np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)]) * [*truth.array.shape, 1]
        moved = float(np.abs(corners @ (truth.affine - pred.affine).T).max())
        if moved > 0.5 * min(truth.spacing):
            msg = (
                f"{pair.pred}: lies up to {moved:.2f} mm off the truth {pair.truth}; expected the same "
                "place in the body. One of the two headers is wrong, or the prediction is of another image."
            )
            raise EvaluationError(msg)


def _has_spacing(path: Path) -> bool:
    """The challenge's own ``segs`` files come without spacing."""
    if path.suffix.lower() != ".npz":
        return True
    with zipfile.ZipFile(path) as archive:
        return "spacing.npy" in archive.namelist()
