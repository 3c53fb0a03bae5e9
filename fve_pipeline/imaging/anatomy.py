"""Do labels and intensities agree with anatomy? A check for labels that are mirrored, shifted or swapped.

Pure: arrays in, findings out. A finding is a reason to look, not a proof: patients differ (fatty livers,
situs inversus), and the ranges are wide on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["HU_RANGES", "AnatomyFinding", "check_anatomy"]

#: Mean HU of healthy organs from native to arterial phase, with room for partial volume at 3 mm.
HU_RANGES: dict[str, tuple[float, float]] = {
    "liver": (0, 170),
    "spleen": (10, 220),
    "kidney": (0, 300),
    "aorta": (15, 600),
    "lung": (-950, -450),
}

#: Names with these words are parts of an organ, or something else beside it.
_OTHER = re.compile(r"tumou?r|lesion|cyst|cancer|nodule|vessel|vein|artery|trachea|airway|metastas")
_SIDE = re.compile(r"\b(left|right)\b")
_VERTEBRA = re.compile(r"\bvertebrae? ([ctls])(\d+)\b")

#: (lies higher, lies lower), by the whole organs' centres.
_ABOVE = (
    *[("brain", low) for low in ("heart", "lung", "liver", "kidney", "bladder")],
    *[("heart", low) for low in ("liver", "kidney", "bladder")],
    *[("lung", low) for low in ("kidney", "bladder", "prostate")],
    *[("liver", low) for low in ("bladder", "prostate", "femur")],
    *[("kidney", low) for low in ("bladder", "prostate", "femur")],
)
#: (lies further to the patient's left, further right), in the axial slices that both reach.
_LEFT_OF = (("spleen", "liver"), ("stomach", "liver"))
#: (lies behind, in front), in the axial slices that both reach.
_BEHIND = (
    *[("vertebra", front) for front in ("heart", "liver", "stomach", "bladder")],
    *[("aorta", front) for front in ("liver", "stomach")],  # label maps of organs alone have no vertebrae
)

_FEWEST = 50  # voxels below which a class is not judged


@dataclass(frozen=True, slots=True)
class AnatomyFinding:
    """One thing that doesn't fit: ``measured`` and ``expected`` are for tables, ``message`` is a sentence."""

    kind: Literal["intensity", "left-right", "front-back", "up-down"]
    classes: tuple[str, ...]
    measured: str
    expected: str
    message: str


@dataclass(frozen=True, slots=True)
class _Sums:
    """Per (slice, class): voxels, and the sums of their row, column and HU. Classes add up to organs."""

    table: NDArray[np.float64]  # (4, D, K)

    def organ(self, members: list[int]) -> NDArray[np.float64]:
        """(4, D): the members taken together."""
        total: NDArray[np.float64] = self.table[:, :, members].sum(axis=2)
        return total


def check_anatomy(
    labels: NDArray[Any],
    affine: NDArray[np.float64],
    names: Mapping[int, str],
    hu: NDArray[Any] | None = None,
) -> list[AnatomyFinding]:
    """Compare where organs lie, and how dense they are, with what anatomy says.

    Parameters
    ----------
    labels
        (z,y,x) class ids.
    affine
        (z,y,x,1) to LPS mm, as ``Volume.affine``.
    names
        Class id to its name ("left kidney", "kidney_left", "vertebrae_L3").
    hu
        (z,y,x) CT in HU; without it intensities are not judged.

    Returns
    -------
    list of AnatomyFinding
        Mean HU outside :data:`HU_RANGES`; left organs not to the left of their right ones, or the spleen or
        stomach not to the left of the liver; the spine not behind heart, liver, stomach or bladder,
        or the aorta not behind liver or stomach; organs and
        vertebrae not in their order from head to feet. Empty when all fits.
    """
    ids = sorted(names)
    words = {n: names[i].lower().replace("_", " ") for n, i in enumerate(ids)}
    sums = _Sums(_collect(labels, ids, hu))
    organs = {organ: _members(organ, words) for organ in _organs()}
    findings = [] if hu is None else _intensities(sums, organs)
    findings += _sides(sums, words, affine)
    findings += _pairs(sums, organs, affine, _LEFT_OF, "left-right")
    findings += _pairs(sums, organs, affine, _BEHIND, "front-back")
    findings += _pairs(sums, organs, affine, _ABOVE, "up-down")
    return findings + _spine(sums, words, affine)


def _organs() -> set[str]:
    named = {organ for pairs in (_ABOVE, _LEFT_OF, _BEHIND) for pair in pairs for organ in pair}
    return named | set(HU_RANGES)


def _members(organ: str, words: Mapping[int, str]) -> list[int]:
    whole = re.compile(rf"\b{organ}(s|e|es)?\b")
    return [n for n, name in words.items() if whole.search(name) and not _OTHER.search(name)]


def _collect(labels: NDArray[Any], ids: list[int], hu: NDArray[Any] | None) -> NDArray[np.float64]:
    place = np.full(int(labels.max(initial=0)) + 1, -1)
    for n, i in enumerate(ids):
        if i < len(place):
            place[i] = n
    table = np.zeros((4, len(labels), len(ids)))
    for z, plane in enumerate(labels):
        y, x = np.nonzero(plane)
        index = place[plane[y, x]]
        y, x, index = y[index >= 0], x[index >= 0], index[index >= 0]
        weights = (None, y, x, None if hu is None else hu[z][y, x])
        for row, weight in zip(table, weights, strict=True):
            row[z] = np.bincount(index, weight, len(ids))
    return table


def _intensities(sums: _Sums, organs: Mapping[str, list[int]]) -> list[AnatomyFinding]:
    findings = []
    for organ, (low, high) in HU_RANGES.items():
        count, _, _, total = sums.organ(organs[organ]).sum(axis=1)
        if count < _FEWEST or low <= total / count <= high:
            continue
        measured, expected = f"{total / count:.0f} HU", f"{low:.0f}..{high:.0f} HU"
        message = (
            f"{organ}: mean {measured}, expected {expected}; the labels may lie elsewhere than the organ"
        )
        findings.append(AnatomyFinding("intensity", (organ,), measured, expected, message))
    return findings


def _sides(sums: _Sums, words: Mapping[int, str], affine: NDArray[np.float64]) -> list[AnatomyFinding]:
    """Each class with "left" in its name against the one that is called the same with "right"."""
    pairs: dict[str, dict[str, int]] = {}
    for n, name in words.items():
        if side := _SIDE.search(name):
            pairs.setdefault(_SIDE.sub("*", name), {})[side.group(1)] = n
    findings = []
    for pair in pairs.values():
        if len(pair) == 2:
            left, right = pair["left"], pair["right"]
            finding = _compare(sums, affine, "left-right", (words[left], [left]), (words[right], [right]))
            findings.extend(finding)
    return findings


def _pairs(
    sums: _Sums,
    organs: Mapping[str, list[int]],
    affine: NDArray[np.float64],
    pairs: tuple[tuple[str, str], ...],
    kind: Literal["left-right", "front-back", "up-down"],
) -> list[AnatomyFinding]:
    return [f for a, b in pairs for f in _compare(sums, affine, kind, (a, organs[a]), (b, organs[b]))]


def _spine(sums: _Sums, words: Mapping[int, str], affine: NDArray[np.float64]) -> list[AnatomyFinding]:
    """Neighbouring vertebrae, from C1 to the sacrum."""
    found = [(("ctls".index(m[1]), int(m[2])), n) for n, w in words.items() if (m := _VERTEBRA.search(w))]
    present = [n for _, n in sorted(found) if sums.organ([n])[0].sum() >= _FEWEST]
    return [
        f
        for a, b in pairwise(present)
        for f in _compare(sums, affine, "up-down", (words[a], [a]), (words[b], [b]))
    ]


def _compare(
    sums: _Sums,
    affine: NDArray[np.float64],
    kind: Literal["left-right", "front-back", "up-down"],
    first: tuple[str, list[int]],
    second: tuple[str, list[int]],
) -> list[AnatomyFinding]:
    """``first`` must lie further to the left, to the back, or up."""
    a, b = sums.organ(first[1]), sums.organ(second[1])
    shared = (a[0] > 0) & (b[0] > 0)
    # A bent spine or a lying patient shifts organs from slice to slice: compare within the same ones.
    if kind != "up-down" and shared.any():
        a, b = a * shared, b * shared
    if min(a[0].sum(), b[0].sum()) < _FEWEST:
        return []
    axis = {"left-right": 0, "front-back": 1, "up-down": 2}[kind]
    gap = float((_centre(a, affine) - _centre(b, affine))[axis])
    if gap > 0:
        return []
    wrong, right = {
        "left-right": ("to the right of", "to the left"),
        "front-back": ("in front of", "behind"),
        "up-down": ("below", "above"),
    }[kind]
    measured = f"{abs(gap):.0f} mm {wrong}"
    message = (
        f"{first[0]}: its centre lies {measured} {second[0]}'s, expected {right}; the labels may be mirrored"
    )
    return [AnatomyFinding(kind, (first[0], second[0]), measured, right, message)]


def _centre(organ: NDArray[np.float64], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre of mass, LPS mm."""
    count = organ[0].sum()
    z = float(np.arange(organ.shape[1]) @ organ[0] / count)
    point: NDArray[np.float64] = affine @ [z, organ[1].sum() / count, organ[2].sum() / count, 1.0]
    return point[:3]
