"""Which axes of a volume to slice.

Two rules, by name. ``paper`` is the text's (BiomedParse-V, section 3.2); ``released`` is what the released
model's data was made with. They agree on most volumes and differ on, for example, (60, 50, 100).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["AXES", "VIEWS", "ViewRule", "choose_views", "in_plane_ratio", "take_view", "untake_view"]

ViewRule = Literal["paper", "released"]

VIEWS = ("axial", "coronal", "sagittal")
AXES = {view: axis for axis, view in enumerate(VIEWS)}

_LIMIT = 0.5
_SPACING_LIMIT = 0.1


def in_plane_ratio(shape: tuple[int, int, int], view: str) -> float:
    """How far from square the slices of a view are: 2|H−W|/(H+W), 0 for square ones.

    ``shape`` is (z, y, x).
    """
    height, width = (n for axis, n in enumerate(shape) if axis != AXES[view])
    return 2 * abs(height - width) / (height + width)


def choose_views(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    rule: ViewRule = "paper",
    *,
    training: bool = False,
) -> tuple[str, ...]:
    """Return the views to slice a volume of ``shape`` (z, y, x) voxels and ``spacing`` (z, y, x) mm along.

    Axial when its slices are near square (ratio under 0.5). Otherwise the view of the lowest ratio
    (``paper``) or the one across the shortest axis (``released``); the first in axis order on a tie.

    With ``training``, all three when every ratio is under 0.5 and the spacings differ by less than 10 % of
    the largest (``paper``), or by at most 10 % of it (``released``). Validation and prediction use one view.

    >>> choose_views((40, 512, 512), (5.0, 0.8, 0.8))
    ('axial',)
    >>> choose_views((200, 220, 210), (1.0, 1.0, 1.0), training=True)
    ('axial', 'coronal', 'sagittal')
    """
    ratios = [in_plane_ratio(shape, view) for view in VIEWS]
    # Rounded, so that spacings a float's last bit away from 10 % fall on the side their digits say.
    spread = round((max(spacing) - min(spacing)) / max(spacing), 6)
    similar = spread < _SPACING_LIMIT or (rule == "released" and spread == _SPACING_LIMIT)
    if training and similar and max(ratios) < _LIMIT:
        return VIEWS
    if ratios[0] < _LIMIT:
        return VIEWS[:1]
    axis = int(np.argmin(ratios if rule == "paper" else shape))
    return (VIEWS[axis],)


def take_view(volume: NDArray[Any], view: str) -> NDArray[Any]:
    """Return the slices of a volume (z, y, x) along a view (D, H, W): the sliced axis first, no copy."""
    return np.moveaxis(volume, AXES[view], 0)


def untake_view(slices: NDArray[Any], view: str) -> NDArray[Any]:
    """Slices (D, H, W) of a view as the volume (z, y, x) that they came from, no copy."""
    return np.moveaxis(slices, 0, AXES[view])
