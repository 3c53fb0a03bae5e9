"""A validation case as a picture: its slice with the truth beside the prediction, large enough to read, and labelled."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["draw"]

_SIDE = 512  # pixels of a panel, at least
_LINE = 22  # of text
_GREY = (225, 225, 225)

Picture = NDArray[np.uint8]
Masks = NDArray[np.bool_]


def draw(focal: Picture, truth: Masks, predicted: Masks, title: str, classes: Sequence[str]) -> Picture:
    """Return (H,W,3) RGB: a slice (S,S) with outlines of the truth (left) and of the prediction (right), (P,S,S) each.

    ``title`` stands above; below are the names of the classes that are in either, each in its colour with the Dice of this
    slice. Slices smaller than 512 pixels are enlarged by a whole number, so that a pixel stays a square.
    """
    scale = max(1, -(-_SIDE // focal.shape[0]))
    colours = [_colour(i, len(classes)) for i in range(len(classes))]
    panels = [_outlined(focal, masks, colours, scale) for masks in (truth, predicted)]
    pair = np.concatenate([panels[0], np.zeros((panels[0].shape[0], 4, 3), np.uint8), panels[1]], axis=1)
    width = pair.shape[1]
    half = width // 2
    head = _band(width, 2)
    _write(head, title, 0, 8, _GREY)
    _write(head, "truth", 1, 8, _GREY)
    _write(head, "prediction", 1, half + 8, _GREY)
    seen = [i for i in range(len(classes)) if truth[i].any() or predicted[i].any()]
    foot = _band(width, max(1, -(-len(seen) // 2)))
    for place, i in enumerate(seen):
        both = int(truth[i].sum() + predicted[i].sum())
        dice = 2 * int((truth[i] & predicted[i]).sum()) / both
        _write(foot, f"{classes[i]}: {dice:.2f}", place // 2, 8 + place % 2 * half, colours[i])
    if not seen:
        _write(foot, "nothing is there, and nothing was found", 0, 8, _GREY)
    return np.concatenate([head, pair, foot])


def _outlined(focal: Picture, masks: Masks, colours: Sequence[tuple[int, int, int]], scale: int) -> Picture:
    panel = np.repeat(focal[..., None], 3, axis=2).repeat(scale, axis=0).repeat(scale, axis=1)
    for mask, colour in zip(masks.astype(np.uint8), colours, strict=True):
        large = mask.repeat(scale, axis=0).repeat(scale, axis=1)
        outlines, _ = cv2.findContours(large, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(panel, outlines, -1, colour, 2)
    return panel


def _colour(number: int, of: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(number / of, 0.75, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _band(width: int, lines: int) -> Picture:
    return np.full((lines * _LINE + 8, width, 3), 24, np.uint8)


def _write(band: Picture, text: str, line: int, left: int, colour: tuple[int, int, int]) -> None:
    plain = text.encode("ascii", "replace").decode()  # all that OpenCV's letters have
    cv2.putText(
        band, plain, (left, (line + 1) * _LINE - 3), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA
    )
