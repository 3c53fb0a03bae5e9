"""Scoring one case: read both label maps, check that they lie in one place, score."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import EvaluationError, FveError
from fve_pipeline.evaluation.pairs import Pair
from fve_pipeline.metrics import (
    ClassScore,
    Convention,
    InstanceScore,
    match_instances,
    score_classes,
    split_components,
)
from fve_pipeline.volume import Header, Volume, read_header, read_image
from fve_pipeline.volume.challenge_npz import read_text_prompts

__all__ = ["CaseScores", "ScoreSettings", "peak_bytes", "score_case"]


@dataclass(frozen=True)
class ScoreSettings:
    """How cases are scored.

    ``allow_pickle`` lets the pickled ``text_prompts`` of the challenge's npz say which classes were asked for
    and whether labels are instances; without it, all classes count and ``instances`` says it for all cases.
    ``tolerance`` is NSD's, in mm.
    """

    convention: Convention = "physical"
    instances: bool = False
    tolerance: float = 2.0
    allow_pickle: bool = False
    class_ids: tuple[int, ...] | None = None


@dataclass(frozen=True)
class CaseScores:
    """What one case gave: scores a class, or of its instances, or why there are none."""

    pair: Pair
    classes: tuple[ClassScore, ...] = ()
    instances: InstanceScore | None = None
    error: str | None = None


def score_case(pair: Pair, settings: ScoreSettings) -> CaseScores:
    """Score one case. What is wrong with its files comes back as ``error`` and stops nothing else."""
    try:
        truth, pred = _read(pair.truth, "gts"), _read(pair.pred, "segs")
        _check_same_place(pair, truth, pred)
        prompts = None
        if settings.allow_pickle and pair.truth.suffix.lower() == ".npz":
            prompts = read_text_prompts(pair.truth, allow_pickle=True)
        truth_labels, pred_labels = _as_labels(truth.array, pair.truth), _as_labels(pred.array, pair.pred)
    except (FveError, OSError) as error:
        return CaseScores(pair, error=str(error))
    if prompts.instances if prompts else settings.instances:
        return CaseScores(pair, instances=match_instances(truth_labels, split_components(pred_labels)))
    scores = score_classes(
        truth_labels,
        pred_labels,
        truth.spacing,
        class_ids=prompts.sentences if prompts else settings.class_ids,
        convention=settings.convention,
        tolerance=settings.tolerance,
    )
    return CaseScores(pair, classes=tuple(scores))


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


def _header(path: Path, member: str) -> Header:
    return read_header(path, member=member if path.suffix.lower() == ".npz" else None)


def _read(path: Path, member: str) -> Volume:
    return read_image(path, member=member if path.suffix.lower() == ".npz" else None)


def _as_labels(array: NDArray[np.generic], path: Path) -> NDArray[np.unsignedinteger]:
    """The label map as uint8, or as uint16 where it has ids above 255."""
    if array.dtype == np.uint8:
        return array.astype(np.uint8, copy=False)
    whole = array.dtype.kind in "iu" or bool((array == np.trunc(array)).all())
    low, high = float(array.min()), float(array.max())
    if not (whole and low >= 0 and high <= 65535):
        what = f"values from {low:g} to {high:g}" + ("" if whole else ", not all whole numbers")
        msg = f"{path}: holds {what} ({array.dtype}); expected label ids from 0 to 65535. Give a label map."
        raise EvaluationError(msg)
    return array.astype(np.uint8 if high <= 255 else np.uint16)


def _check_same_place(pair: Pair, truth: Volume, pred: Volume) -> None:
    if truth.array.shape != pred.array.shape:
        msg = (
            f"{pair.pred}: shape {pred.array.shape} (z, y, x); expected {truth.array.shape}, as the truth "
            f"{pair.truth}. Give the prediction on the truth's grid."
        )
        raise EvaluationError(msg)
    if not _has_spacing(pair.truth):
        msg = (
            f"{pair.truth}: has no spacing, without which surfaces have no size; add spacing (x, y, z) in mm."
        )
        raise EvaluationError(msg)
    if not _has_spacing(pair.pred):
        return
    if not np.allclose(truth.spacing, pred.spacing, rtol=1e-3, atol=1e-6):
        msg = (
            f"{pair.pred}: spacing {pred.spacing} mm (z, y, x); expected {truth.spacing}, as the truth "
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
