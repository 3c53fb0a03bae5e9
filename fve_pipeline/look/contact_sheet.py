"""One picture of many samples: what a training set looks like, before anyone trains on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fve_pipeline.files.atomic import write_whole

__all__ = ["class_colour", "draw_sheet", "write_png"]

_GAP = 4
_CAPTION = 18


def class_colour(class_id: int) -> tuple[int, int, int]:
    """A bright RGB colour for a class or an instance id, far from those of the ids beside it."""
    hue = int(class_id * 0.618034 % 1 * 180)  # the golden ratio spreads consecutive ids over the circle
    hsv = np.array([[[hue, 200 - 50 * (class_id // 5 % 2), 255]]], np.uint8)
    red, green, blue = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue


def draw_sheet(
    images: Sequence[NDArray[np.uint8]],
    masks: Sequence[NDArray[Any] | Mapping[int, NDArray[np.bool_]]],
    captions: Sequence[str] | None = None,
    *,
    columns: int = 4,
    panel: int = 160,
) -> NDArray[np.uint8]:
    """Samples as one RGB picture (height, width, 3) uint8, ``columns`` of them a row.

    ``images`` are encoded, (S, S, 3), or single slices, (S, S), uint8; ``masks`` (S, S) of ids, or
    where each id lies, (S, S) bool, which may overlap. An encoded
    sample takes three panels of ``panel`` pixels: the focal slice in grey with each id's outline in its
    colour, then the slices before it and after it as they are encoded. A single slice takes the first.
    """
    if not images or len(images) != len(masks) or (captions is not None and len(captions) != len(images)):
        msg = f"{len(images)} images, {len(masks)} masks and {captions and len(captions)} captions"
        raise ValueError(f"{msg}: a sheet needs one or more of each, equally many")
    tiles = []
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        tile = _tile(image, mask, panel)
        tiles.append(tile if captions is None else _captioned(tile, captions[i]))
    height = max(len(tile) for tile in tiles) + _GAP
    width = max(tile.shape[1] for tile in tiles) + 2 * _GAP
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * height + _GAP, min(columns, len(tiles)) * width, 3), 24, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * height + _GAP, i % columns * width + _GAP
        sheet[y : y + len(tile), x : x + tile.shape[1]] = tile
    return sheet


def write_png(path: Path, sheet: NDArray[np.uint8]) -> None:
    """Write an RGB picture (height, width, 3) uint8. Raises OSError when the file cannot be written."""
    _, data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    with write_whole(path) as file:
        file.write(data.tobytes())


def _tile(
    image: NDArray[np.uint8], mask: NDArray[Any] | Mapping[int, NDArray[np.bool_]], panel: int
) -> NDArray[np.uint8]:
    channels = np.atleast_3d(image)
    small = [
        cv2.resize(np.ascontiguousarray(channels[..., c]), (panel, panel), interpolation=cv2.INTER_AREA)
        for c in range(channels.shape[2])
    ]
    panels = [cv2.cvtColor(channel, cv2.COLOR_GRAY2RGB) for channel in small]
    size = (panel, panel)
    parts = mask if isinstance(mask, Mapping) else {i: mask == i for i in np.unique(mask[mask > 0]).tolist()}
    for class_id, part in parts.items():
        inside = cv2.resize(part.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)
        outlines, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(panels[0], outlines, -1, class_colour(class_id), 1)
    return np.hstack(panels)


def _captioned(tile: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    strip = np.full((_CAPTION, tile.shape[1], 3), 24, np.uint8)
    cv2.putText(strip, text, (2, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (225, 225, 225), 1, cv2.LINE_AA)
    return np.vstack([strip, tile])
