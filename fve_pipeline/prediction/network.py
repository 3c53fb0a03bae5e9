"""One view of a volume through the model: label, probability and edge maps at the model's size.

Nothing of prompts × volume is ever held: a batch of slices is decoded, resolved to one label a pixel, and
forgotten. Text is encoded once; an image's visual features serve all its prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fve_pipeline.bio2vol.network import PathLayout
from fve_pipeline.bio2vol.sliding import slide
from fve_pipeline.imaging.encoding import context_depth, encode
from fve_pipeline.prediction.loaded import LoadedModel
from fve_pipeline.prediction.prompts import mirrored, sentences_of
from fve_pipeline.prediction.settings import SliceSettings
from fve_pipeline.segmenter.losses import upsample_logits
from fve_pipeline.segmenter.model import Prediction
from fve_pipeline.segmenter.postprocess import filter_single, merge_labels, suppress_overlaps
from fve_pipeline.segmenter.randomness import CounterRandomness, combine_keys, prompt_key
from fve_pipeline.volume.overlay import Overlay

__all__ = ["Averaging", "ViewMaps", "predict_slices"]

# Bytes that a batch's logits at full size may take on a CPU; a few copies of them live at a time.
_CPU_BATCH_BYTES = 64 << 20


@dataclass(frozen=True)
class Averaging:
    """What is averaged: ``draws`` of the sampled attention, and mirror images along LPS axes (0 z, 1 y, 2 x).

    Logits are averaged. Mirrored along x, left and right change places in prompts, so that the left kidney is
    looked for where it then lies. ``seed`` decides all draws, with slice, view and prompt.
    """

    draws: int = 1
    flips: tuple[int, ...] = ()
    seed: int = 0


@dataclass(frozen=True, eq=False)
class ViewMaps:
    """Maps (D,S,S) of one view, and presence probabilities (D,P).

    ``labels``: 1 + the place of the prompt that won, 0 for background. With ``votes``: ``best`` is the same
    without the background's say, and ``weight`` that prompt's probability × 255. With ``edges``: where the
    first prompt's instances touch. With ``kept``: every prompt's own mask, as 1 + its place, none hiding another.
    """

    labels: NDArray[np.uint16]
    presence: NDArray[np.float32]
    best: NDArray[np.uint16] | None = None
    weight: NDArray[np.uint8] | None = None
    edges: NDArray[np.bool_] | None = None
    kept: Overlay | None = None


def predict_slices(
    loaded: LoadedModel,
    slices: Sequence[NDArray[np.uint8]],
    looked_for: Sequence[Sequence[int]],
    axis: int,
    prompts: Sequence[str],
    settings: SliceSettings,
    averaging: Averaging,
    *,
    votes: bool = False,
    edges: bool = False,
    keep: bool = False,
    batch: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> ViewMaps:
    """Segment all slices of the view along LPS ``axis``: ``slices`` holds (D,S,S) uint8 a rendition.

    ``looked_for`` gives the places of the ``prompts`` that are looked for in each rendition. A prompt in one
    rendition and in another are merged as two prompts are; its presence is the higher. So are the sentences of one.

    As the paper infers: a mask counts where the presence probability reaches one half, of masks that overlap
    on a slice the more present one stays, and each pixel goes to its likeliest prompt. With ``keep``, the mask of each
    prompt that is present is kept beside them as a single prompt's is.

    ``batch`` is the number of slices decoded at a time; None finds one that fits the device. ``advance`` is
    told of slices that are done. An adaptation that reads across slices slides over the view, one sub-volume at a
    time, and averages the logits where sub-volumes overlap.
    """
    depth, size = len(slices[0]), settings.size
    asked = [
        [(place, said) for place in places for said in sentences_of(prompts[place])] for places in looked_for
    ]
    columns = [place for own in asked for place, _ in own]
    maps = ViewMaps(
        labels=np.zeros((depth, size, size), np.uint16),
        presence=np.zeros((depth, len(prompts)), np.float32),
        best=np.zeros((depth, size, size), np.uint16) if votes else None,
        weight=np.zeros((depth, size, size), np.uint8) if votes else None,
        edges=np.zeros((depth, size, size), np.bool_) if edges else None,
        kept=Overlay((depth, size, size)) if keep else None,
    )
    with torch.inference_mode(), loaded.computing():
        passes = [
            _Passes(loaded, own, axis, [said for _, said in sentences], settings, averaging)
            for own, sentences in zip(slices, asked, strict=True)
        ]
        if loaded.volumes is None:
            parts = _batches(passes, depth, batch or first_batch(loaded.device, len(columns), size))
        else:
            parts = slide(lambda cut: _together(passes, cut.rows, cut.places), depth, loaded.volumes.settings)
        for rows, found in parts:
            _resolve(found, rows, size, columns, maps)
            advance(len(rows))
    return maps


def first_batch(device: torch.device, prompts: int, size: int) -> int:
    """Slices to begin with: all that a GPU might hold, halved when it doesn't; a few on a CPU."""
    if device.type == "cuda":
        return 64
    return max(1, min(16, _CPU_BATCH_BYTES // (4 * prompts * size * size)))


def _batches(passes: Sequence[_Passes], depth: int, batch: int) -> Iterator[tuple[range, Prediction]]:
    first = 0
    while first < depth:
        rows = range(first, min(first + batch, depth))
        try:
            found = _together(passes, rows)
        except torch.cuda.OutOfMemoryError:
            if batch == 1:
                raise
            batch = max(1, len(rows) // 2)
            torch.cuda.empty_cache()
            continue
        yield rows, found
        first = rows.stop


def _together(passes: Sequence[_Passes], rows: Sequence[int], places: tuple[int, ...] = ()) -> Prediction:
    """Logits of ``rows`` in all renditions, their prompts side by side."""
    found = [one.run(rows, places) for one in passes]
    return Prediction(*(torch.cat(parts, 1) for parts in zip(*map(_parts, found), strict=True)))


def _parts(found: Prediction) -> tuple[Tensor, Tensor, Tensor]:
    return found.masks, found.edges, found.existence


class _Passes:
    """The model on slices, once for each draw and mirror image, averaged."""

    def __init__(
        self,
        loaded: LoadedModel,
        slices: NDArray[np.uint8],
        axis: int,
        prompts: Sequence[str],
        settings: SliceSettings,
        averaging: Averaging,
    ) -> None:
        self._loaded, self._slices, self._axis = loaded, slices, axis
        self._settings, self._averaging = settings, averaging
        self._flips = (None, *averaging.flips)
        said = {flip: [mirrored(p) if flip == 2 else p for p in prompts] for flip in self._flips}
        self._keys = {flip: [prompt_key(p) for p in own] for flip, own in said.items()}
        self._text = {flip: loaded.text(own) for flip, own in said.items()}

    def run(self, rows: Sequence[int], places: tuple[int, ...] = ()) -> Prediction:
        """Mean logits of ``rows``: masks and edges (n,P,S/4,S/4), presence (n,P).

        ``places`` are those of the rows in a sub-volume, for a model that reads across slices.
        """
        total: Prediction | None = None
        for flip in self._flips:
            images = self._images(rows, flip)
            for draw in range(self._averaging.draws):
                found = _unflip(self._once(images, rows, places, flip, draw), self._plane_axis(flip))
                total = found if total is None else _added(total, found)
        assert total is not None
        passes = len(self._flips) * self._averaging.draws
        return Prediction(total.masks / passes, total.edges / passes, total.existence / passes)

    def _once(
        self, images: Tensor, rows: Sequence[int], places: tuple[int, ...], flip: int | None, draw: int
    ) -> Prediction:
        place = 0 if flip is None else flip + 1
        samples = [combine_keys(self._axis, place, z) for z in rows]
        volumes = self._loaded.volumes
        if volumes is not None:
            # Turned round, a sub-volume is read from its other end.
            layout = PathLayout.of([places[::-1] if flip == self._axis else places], volumes.settings)
            keys = layout.randomness(self._averaging.seed, samples, [self._keys[flip]], epoch=draw)
            found = volumes.predict(images, layout, self._text[flip], keys.to(images.device))
            return _float32(found)
        draws = CounterRandomness.of(
            self._averaging.seed, samples, [self._keys[flip]] * len(rows), epoch=draw
        ).to(images.device)
        return _float32(self._loaded.model(images, self._text[flip].shared_by(len(rows)), draws))

    def _images(self, rows: Sequence[int], flip: int | None) -> Tensor:
        """Encoded slices (n,3,S,S) on the model's device."""
        settings = self._settings
        context = context_depth(settings.order)
        low, high = max(0, rows[0] - context), min(len(self._slices), rows[-1] + 1 + context)
        slab = self._slices[low:high]
        plane_axis = self._plane_axis(flip)
        if plane_axis is not None:
            slab = np.flip(slab, plane_axis)
        encoded = encode(
            slab,
            settings.order,
            settings.boundary,
            settings.downsample,
            focal=np.array(rows) - low,
            layout="chw",
        )
        if flip == self._axis:  # the stack turned round: what came before comes after
            encoded = encoded[:, [0, 2, 1]]
        return torch.from_numpy(encoded).to(self._loaded.device)

    def _plane_axis(self, flip: int | None) -> int | None:
        """The axis of (D,S,S) along which a mirror image is flipped; None if no pixel of a slice moves."""
        if flip is None or flip == self._axis:
            return None
        return 1 + [axis for axis in range(3) if axis != self._axis].index(flip)


def _float32(found: Prediction) -> Prediction:
    return Prediction(found.masks.float(), found.edges.float(), found.existence.float())


def _unflip(found: Prediction, axis: int | None) -> Prediction:
    if axis is None:
        return found
    return Prediction(found.masks.flip(axis + 1), found.edges.flip(axis + 1), found.existence)


def _added(a: Prediction, b: Prediction) -> Prediction:
    return Prediction(a.masks + b.masks, a.edges + b.edges, a.existence + b.existence)


def _resolve(found: Prediction, rows: range, size: int, columns: Sequence[int], maps: ViewMaps) -> None:
    """From a batch's logits to its rows of the maps, slice by slice; ``columns`` are their prompts' places."""
    presence = found.existence.sigmoid().cpu().numpy()
    for column, place in enumerate(columns):
        own = maps.presence[rows.start : rows.stop, place]
        np.maximum(own, presence[:, column], out=own)
    ids = 1 + np.array(columns)
    for row, masks, edges, existence in zip(rows, found.masks, found.edges, found.existence, strict=True):
        large = upsample_logits(masks[None], (size, size))[0]
        if len(columns) == 1:
            likely = filter_single(large, existence.expand(1))
        else:
            likely = suppress_overlaps(large, existence)
        maps.labels[row] = merge_labels(likely, ids.tolist())
        if maps.kept is not None:
            for column, place in enumerate(columns):
                own_mask = filter_single(large[column : column + 1], existence[column : column + 1])[0] > 0.5
                maps.kept.add_slice(row, own_mask.cpu().numpy(), 1 + place)
        if maps.best is not None and maps.weight is not None:
            weight, best = likely.max(0)
            maps.best[row] = ids[best.cpu().numpy()]
            maps.weight[row] = (weight * 255).round().to(torch.uint8).cpu().numpy()
        if maps.edges is not None:
            drawn = upsample_logits(edges[None, :1], (size, size))[0, 0]
            maps.edges[row] = (drawn.sigmoid() >= 0.5).cpu().numpy()
