"""A whole volume: its views, instances, and the label map at native size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import PredictionError
from fve_pipeline.imaging.views import AXES, take_view, untake_view
from fve_pipeline.prediction.loaded import LoadedModel
from fve_pipeline.prediction.network import Averaging, predict_slices
from fve_pipeline.prediction.prompts import Target, sentences_of
from fve_pipeline.prediction.settings import SliceSettings
from fve_pipeline.prediction.slices import WayBack, fit_slices
from fve_pipeline.segmenter.instances import split_instances
from fve_pipeline.volume import Labels

__all__ = ["Segmentation", "predict_volume"]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """``labels`` (z,y,x): class ids, or instances; ``presence`` a view: probabilities (D,P) a slice and prompt.

    ``instances`` is how many were split; of more than 65535 ``labels`` is their mask, by its class id. ``kept`` holds
    every target's own mask, by 1 + its place, where they were asked for.
    """

    labels: NDArray[np.uint16]
    presence: dict[str, NDArray[np.float32]]
    instances: int = 0
    kept: Labels | None = None


def predict_volume(
    loaded: LoadedModel,
    image: NDArray[np.uint8] | Sequence[NDArray[np.uint8]],
    targets: Sequence[Target],
    settings: SliceSettings,
    views: Sequence[str],
    averaging: Averaging,
    *,
    looked_for: Sequence[Sequence[int]] | None = None,
    instances: bool = False,
    keep: bool = False,
    batch: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Segmentation:
    """Segment a volume (z,y,x) uint8 in LPS along one view, or along several that vote.

    With ``looked_for``, ``image`` is a sequence of such arrays, the volume in several renditions (windows, channels),
    and ``looked_for`` gives the places of the targets that are looked for in each; their masks are merged slice by
    slice as those of several prompts are.

    With several views, the probability of a class at a voxel is the mean over views, where a view counts for
    the class that it finds likeliest there (so no view's probabilities of all prompts need be kept).

    With ``instances``, of one target: its mask without predicted edges falls into 6-connected parts, which
    grow back over all of the mask that they touch.

    With ``keep``, of one view, each target's own mask is kept beside the merged map.

    Raises
    ------
    PredictionError
        For instances of several targets, renditions or views, and for kept masks of instances or several views.
    """
    shown = list(image) if looked_for is not None else [np.asarray(image)]
    looked_for = looked_for or [range(len(targets))]
    sentences = sum(len(sentences_of(target.prompt)) for target in targets)
    if instances and max(sentences, len(shown), len(views)) > 1:
        msg = (
            f"instances of {sentences} prompts in {len(shown)} renditions and {len(views)} views; "
            "expected one of each"
        )
        raise PredictionError(msg)
    if keep and (instances or len(views) > 1):
        msg = f"masks kept apart of {'instances' if instances else f'{len(views)} views'}; expected classes in one view"
        raise PredictionError(msg)
    prompts = [target.prompt for target in targets]
    kept: Labels | None = None
    presence: dict[str, NDArray[np.float32]] = {}
    votes: list[tuple[NDArray[np.uint16], NDArray[np.uint8]]] = []
    for view in views:
        fitted = [fit_slices(take_view(own, view), settings) for own in shown]
        back = fitted[0][1]
        maps = predict_slices(
            loaded,
            [slices for slices, _ in fitted],
            looked_for,
            AXES[view],
            prompts,
            settings,
            averaging,
            votes=len(views) > 1,
            edges=instances,
            keep=keep,
            batch=batch,
            advance=advance,
        )
        del fitted
        presence[view] = maps.presence
        if maps.kept is not None:
            kept = Labels(_restored(maps.kept.array, view, back), sets=maps.kept.sets)
        if maps.best is not None and maps.weight is not None:
            votes.append((_restored(maps.best, view, back), _restored(maps.weight, view, back)))
        elif instances:
            assert maps.edges is not None
            parts = split_instances(maps.labels > 0, maps.edges, grow=None)
            if (count := int(parts.max(initial=0))) > 65535:
                mask = _restored(maps.labels, view, back) * np.uint16(targets[0].class_id)
                return Segmentation(mask, presence, count)
            labels = _counted(_restored(parts.astype(np.uint16), view, back))
            return Segmentation(labels, presence, int(labels.max(initial=0)))
        else:
            places = _restored(maps.labels, view, back)
    if votes:
        places = merge_views(votes)
    ids = np.array([0, *(target.class_id for target in targets)], np.uint16)
    return Segmentation(ids[places], presence, kept=kept)


def merge_views(votes: Sequence[tuple[NDArray[np.uint16], NDArray[np.uint8]]]) -> NDArray[np.uint16]:
    """The place (1 + prompt) with the highest mean weight over views, where that exceeds one half; else 0.

    ``votes`` holds a view's likeliest place and its weight (0..255), both (z,y,x). Of equals the earlier
    view's wins.
    """
    merged = np.zeros_like(votes[0][0])
    for z in range(len(merged)):
        highest = np.zeros(merged.shape[1:], np.uint16)
        for own, _ in votes:
            score = sum(np.where(other[z] == own[z], weight[z], np.uint16(0)) for other, weight in votes)
            better = score > highest
            highest = np.where(better, score, highest)
            merged[z] = np.where(better, own[z], merged[z])
        merged[z][2 * highest <= 255 * len(votes)] = 0
    return merged


def _counted(instances: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The same instances numbered without gaps: at native size a small one may have no voxel left."""
    present = np.bincount(instances.ravel(), minlength=1) > 0
    present[0] = False
    table: NDArray[np.uint16] = (np.cumsum(present) * present).astype(np.uint16)
    return table[instances]


def _restored(maps: NDArray[Any], view: str, back: WayBack) -> NDArray[Any]:
    return np.ascontiguousarray(untake_view(back(maps), view))
