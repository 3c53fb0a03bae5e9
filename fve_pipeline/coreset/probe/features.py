"""Mean features of a segmenter's own backbone, one vector a case."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fve_pipeline.loading.encoded_rows import encoded_rows
from fve_pipeline.segmenter.checkpoint import open_segmenter
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.store.query import rows_of_cases
from fve_pipeline.store.reader import Store
from fve_pipeline.store.runs import Runs

__all__ = ["MAX_DIMENSIONS", "backbone_features", "features_name"]

MAX_DIMENSIONS = 128


def features_name(path: Path) -> str:
    """Return what a selection records of the features: which weights, by their hash."""
    with path.open("rb") as file:
        return f"backbone of {hashlib.file_digest(file, 'sha256').hexdigest()[:16]}, version 1"


def backbone_features(
    stores: Sequence[Store],
    cases: Sequence[str],
    checkpoint: Path,
    *,
    slices: int = 8,
    progress: Callable[[], None] = lambda: None,
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return features float32 (len(cases), d): the backbone's last stage, averaged over space and slices.

    ``slices`` of each case's first run are taken, evenly spaced. Reduced to ``MAX_DIMENSIONS`` principal
    components when there are more.

    Raises CheckpointError when the file is not a segmenter's.
    """
    model, _ = open_segmenter(checkpoint)
    place_of = {case: place for place, case in enumerate(cases)}
    out: np.ndarray[Any, np.dtype[np.float32]] = np.zeros(
        (len(cases), model.config.stage_dims[-1]), np.float32
    )
    for store in stores:
        names = store.index.column("case")
        first: dict[str, range] = {}
        for run in Runs.of(store.index).of_rows(rows_of_cases(store.index, cases)):
            first.setdefault(names[run.start].as_py(), run)
        for case, run in first.items():
            places = np.unique(np.linspace(0, len(run) - 1, min(slices, len(run))).round().astype(int))
            images = encoded_rows(store, run, places.tolist())
            out[place_of[case]] = _mean_feature(model, images)
            progress()
    return _reduce(out)


@torch.no_grad()
def _mean_feature(model: Segmenter, images: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, Any]:
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    last = model.backbone((x - model.pixel_mean) / model.pixel_std)[-1]
    mean: np.ndarray[Any, Any] = last.mean((0, 2, 3)).numpy()
    return mean


def _reduce(features: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    if min(features.shape) <= MAX_DIMENSIONS:
        return features
    from sklearn.decomposition import PCA

    reduced: np.ndarray[Any, np.dtype[np.float32]] = PCA(
        MAX_DIMENSIONS, svd_solver="randomized", random_state=0
    ).fit_transform(features)
    return reduced.astype(np.float32)
