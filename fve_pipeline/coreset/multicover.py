"""Multi-cover: every class at least k positive cases with as few cases as greedy finds, then 2k, 4k, ..."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np

from fve_pipeline.coreset.floors import shortfall_note
from fve_pipeline.coreset.method import Choice, SelectionProblem, register

__all__ = ["MultiCover"]

Ints = np.ndarray[Any, np.dtype[np.int64]]


class MultiCover:
    """Greedy on the number of classes that a case would bring nearer to k.

    Coverage is submodular, so this is within 1 - 1/e of the best for each number of cases. Gains only fall, so a
    case is weighed again only when it leads: the lazy greedy of Minoux. Equal gains are settled by the seeded order
    of the cases.
    """

    name = "multicover"
    summary = "every class at least k positive cases, greedily with the fewest cases, then 2k, 4k, ..."

    def choose(self, problem: SelectionProblem) -> Choice:
        """Choose greedily over the whole table, floors first."""
        k, table = max(problem.settings.class_floor, 1), problem.table
        available = table.positives()
        have = np.zeros_like(available)
        order = problem.by_key(np.arange(len(table)))
        taken = np.zeros(len(table), bool)
        rows: list[int] = []
        reasons: list[str] = []
        needed = -1
        level = 0
        while len(rows) < problem.budget and (have < available).any():
            level = 2 * level or k
            want = np.minimum(available, level)
            for row, gain in _cover(problem, order, taken, have, want, problem.budget - len(rows)):
                rows.append(row)
                reasons.append(f"brings {gain} classes nearer to {level} cases")
            if level == k and (have >= want).all():
                needed = len(rows)
        if needed < 0:
            needed = _needed(problem, order, available, k)
        for row in order[~taken[order]][: problem.budget - len(rows)].tolist():
            rows.append(row)
            reasons.append("random draw: no class gains any more")
        return Choice(rows, reasons, shortfall_note(problem, rows, needed))


def _cover(
    problem: SelectionProblem, order: Ints, taken: np.ndarray[Any, Any], have: Ints, want: Ints, limit: int
) -> list[tuple[int, int]]:
    """(row, gain) until no case gains or ``limit`` are taken; updates ``taken`` and ``have``."""
    table = problem.table
    short = (have < want).astype(np.int64)
    sums = np.concatenate([[0], np.cumsum(short[table.indices])])
    gains = sums[table.indptr[1:]] - sums[table.indptr[:-1]]
    heap = [
        (-int(gains[row]), place, row)
        for place, row in enumerate(order.tolist())
        if gains[row] and not taken[row]
    ]
    heapq.heapify(heap)
    out: list[tuple[int, int]] = []
    while heap and len(out) < limit:
        stale, place, row = heap[0]
        classes = table.classes_of(row)
        gain = int((have[classes] < want[classes]).sum())
        if gain == -stale:
            heapq.heappop(heap)
            taken[row] = True
            have[classes] += 1
            out.append((row, gain))
        elif gain:
            heapq.heapreplace(heap, (-gain, place, row))
        else:
            heapq.heappop(heap)
    return out


def _needed(problem: SelectionProblem, order: Ints, available: Ints, k: int) -> int:
    """How many cases the first cover takes without a budget."""
    n = len(problem.table)
    start = np.zeros_like(available)
    return len(_cover(problem, order, np.zeros(n, bool), start, np.minimum(available, k), n))


register(MultiCover())
