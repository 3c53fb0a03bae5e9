"""Labels that look mirrored: their classes lie where the other cases of the dataset have the other side."""

from __future__ import annotations

from typing import Any

import numpy as np

from fve_pipeline.coreset.arrow import fixed, ragged
from fve_pipeline.coreset.table import CaseTable

__all__ = ["mirrored_cases"]

_OFF_CENTRE = 0.06  # a class whose usual place is nearer to the middle than this tells nothing
# Nor does one whose place varies as much as it is off the middle, as an organ's along a scan's length does: so many
# deviations are asked for, and more where they are estimated from few cases.
_DEVIATIONS, _FEW = 3.0, 16.0
_AXES = ("head and foot", "front and back", "left and right")


def mirrored_cases(table: CaseTable) -> list[tuple[int, str]]:
    """(row, what is swapped) of cases that look mirrored along an axis of the body.

    For each class with a usual place off the middle, further than it varies (median over the dataset's cases, at
    least four), a case votes "mirrored" when its centroid is nearer to the usual place's mirror image than to the
    place. A case is named when at least two thirds of its classes say so, and more than one does if it has several.
    """
    if not {"class_centroid", "class_ids"} <= set(table.facts.column_names):
        return []
    centroid = fixed(ragged(table.facts, "class_centroid")[0], 3)
    case = np.repeat(np.arange(len(table)), np.diff(table.indptr))
    usual = _medians(centroid, table.indices, len(table.classes))
    spread = 1.4826 * _medians(abs(centroid - usual[table.indices]), table.indices, len(table.classes))
    cases = np.bincount(table.indices, minlength=len(table.classes))
    asks = np.maximum(_OFF_CENTRE, (_DEVIATIONS + _FEW / np.maximum(cases, 1))[:, None] * spread)
    known = cases >= 4
    out = []
    for axis, name in enumerate(_AXES):
        place = usual[table.indices, axis]
        tells = known[table.indices] & (abs(place - 0.5) > asks[table.indices, axis])
        votes = tells & (abs(centroid[:, axis] - (1 - place)) < abs(centroid[:, axis] - place))
        asked = np.bincount(case[tells], minlength=len(table))
        said = np.bincount(case[votes], minlength=len(table))
        enough = (said >= 2) | ((said == 1) & (asked == 1))
        rows = np.flatnonzero(enough & (3 * said >= 2 * asked) & (asked > 0))
        out += [(int(row), f"{name}: {said[row]} of {asked[row]} classes") for row in rows]
    return sorted(out)


def _medians(values: np.ndarray[Any, Any], groups: np.ndarray[Any, Any], n: int) -> np.ndarray[Any, Any]:
    out = np.full((n, values.shape[1]), 0.5)
    order = np.argsort(groups, kind="stable")
    for part in np.split(order, np.cumsum(np.bincount(groups, minlength=n))[:-1]):
        if len(part):
            out[groups[part[0]]] = np.median(values[part], axis=0)
    return out
