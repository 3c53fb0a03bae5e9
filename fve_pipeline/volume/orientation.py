"""Turning any axis order and handedness to (z,y,x) in LPS, exactly."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import GeometryError
from fve_pipeline.volume.refusal import refusal

__all__ = [
    "Turn",
    "axis_codes",
    "check_affine",
    "check_orthogonal",
    "flat_affine",
    "plan_turn",
    "settle_view",
    "shear",
    "spacing_of",
    "turn_affine",
    "turn_view",
]

#: Cosine of the angle between two axes above which they are not called orthogonal: 0.11 degrees, which moves
#: a slice by 0.6 mm at 300 mm. Header rounding stays a hundred times below it.
SHEAR_TOLERANCE = 2e-3

#: mm; nothing that is imaged lies further off.
_FAR = 1e9

Turn = tuple[tuple[int, int, int], tuple[bool, bool, bool]]
"""(order, flips): output axis n is input axis order[n], reversed when flips[n]."""

_ORDERS = [(a, b, c) for a, b, c in permutations(range(3))]


def flat_affine(spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Array index (z,y,x) to mm for files that give a spacing only: the axes as they are, origin 0."""
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing
    affine[3, 3] = 1
    return affine


def spacing_of(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """Spacing along each array axis in mm, rounded to 1e-7 so that header noise doesn't show."""
    lengths = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    a, b, c = (round(float(v), 7) for v in lengths)
    return a, b, c


def shear(affine: NDArray[np.float64]) -> float:
    """Return the largest |cosine| between two of the array's axes; 0 when they are orthogonal."""
    directions = affine[:3, :3] / np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    products = np.abs(directions.T @ directions)
    return float(max(products[0, 1], products[0, 2], products[1, 2]))


def check_affine(affine: NDArray[np.float64], name: str) -> None:
    """Raise GeometryError unless the affine maps a grid one to one."""
    advice = "Repair the header before building"
    wild = int((~(np.abs(affine) < _FAR)).sum())
    if wild:
        found = f"the affine holds {wild} values that are no lengths"
        raise refusal(name, found, "12 finite numbers in mm", advice, GeometryError)
    lengths = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    if (lengths < 1e-9).any():
        found = "the header gives a spacing of 0 mm along an axis"
        raise refusal(name, found, "positive spacings", advice, GeometryError)
    if abs(np.linalg.det(affine[:3, :3] / lengths)) < 0.01:
        found = "the axes that the header gives lie in one plane"
        raise refusal(name, found, "three directions", advice, GeometryError)


def check_orthogonal(affine: NDArray[np.float64], name: str) -> None:
    """Raise GeometryError where axes are sheared by more than header rounding."""
    worst = shear(affine)
    if worst > SHEAR_TOLERANCE:
        degrees = float(np.degrees(np.arcsin(min(worst, 1.0))))
        found = f"the axes are not orthogonal, off by {degrees:.2f} degrees (a tilted gantry?)"
        advice = "Resample it first, or have it resampled on reading (resample_tilt)"
        raise refusal(name, found, "at most 0.11", advice, GeometryError)


def plan_turn(affine: NDArray[np.float64]) -> Turn:
    """Which input axis is closest to each of z, y, x in LPS, and which of them run backwards."""
    directions = affine[:3, :3] / np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    # Rows of `directions` are world x, y, z; output axes are z, y, x.
    x, y, z = np.abs(directions).tolist()
    score = [z[a] + y[b] + x[c] for a, b, c in _ORDERS]
    # Rounded, so that exact ties (45 degrees) go the same way whatever the last bit says.
    best = _ORDERS[int(np.argmax(np.round(score, 9)))]
    a, b, c = (bool(directions[2 - n, axis] < 0) for n, axis in enumerate(best))
    return best, (a, b, c)


def axis_codes(turn: Turn) -> str:
    """Return the directions in which axes that need ``turn`` run, fastest first: "RAS", "LPS", "AIL", ..."""
    order, flips = turn
    codes = [""] * 3
    for n, axis in enumerate(order):
        codes[axis] = ("SI", "PA", "LR")[n][int(flips[n])]
    return "".join(reversed(codes))


def turn_affine(affine: NDArray[np.float64], shape: tuple[int, int, int], turn: Turn) -> NDArray[np.float64]:
    """Return the affine of the turned array."""
    order, flips = turn
    out = np.eye(4)
    out[:3, 3] = affine[:3, 3]
    for n, axis in enumerate(order):
        column = affine[:3, axis]
        out[:3, n] = -column if flips[n] else column
        if flips[n]:
            out[:3, 3] += column * (shape[axis] - 1)
    return out + 0.0  # turns -0.0 into 0.0


def turn_view(array: NDArray[Any], turn: Turn) -> NDArray[Any]:
    """Return the array turned, in native byte order, as a view where it is in that order already."""
    order, flips = turn
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    step = tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)
    return array.transpose(order)[step]


def settle_view(array: NDArray[Any]) -> NDArray[Any]:
    """Return what :func:`turn_view` gave, C-contiguous. May reuse the buffer that is behind it."""
    flips = tuple(stride < 0 for stride in array.strides)
    unflipped = array[tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)]
    if unflipped.flags.c_contiguous and unflipped.flags.writeable:
        _flip_in_place(unflipped, *flips)
        return unflipped
    out = np.ascontiguousarray(array)
    return out if out.flags.writeable else out.copy()


def _flip_in_place(array: NDArray[Any], z: bool, y: bool, x: bool) -> None:
    """Flip slice by slice, so that a volume of gigabytes needs no second copy."""
    plane = (slice(None, None, -1 if y else 1), slice(None, None, -1 if x else 1))
    if z:
        for low in range((len(array) + 1) // 2):
            high = len(array) - 1 - low
            first = array[low][plane].copy()
            array[low] = array[high][plane] if high != low else first
            array[high] = first
    elif y or x:
        for one in array:
            one[...] = one[plane].copy()
