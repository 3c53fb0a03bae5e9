"""How a budget is shared out over strata."""

from __future__ import annotations

from typing import Any

import numpy as np

from fve_pipeline.coreset.method import Rows, SelectionProblem

__all__ = ["allocate", "dataset_strata", "feasible_floor"]

Ints = np.ndarray[Any, np.dtype[np.int64]]


def feasible_floor(sizes: Ints, floor: int, budget: int) -> Ints:
    """``floor`` a stratum, or all of it; a lower floor for all where the budget is too small."""
    while floor and int(np.minimum(sizes, floor).sum()) > budget:
        floor -= 1
    return np.minimum(sizes, floor)


def allocate(sizes: Ints, budget: int, *, temper: float, least: Ints) -> Ints:
    """Cases a stratum, summing to ``min(budget, sizes.sum())``.

    In proportion to ``sizes ** temper``, never under ``least`` nor over ``sizes`` (strata that reach either
    end leave the rest to the others); fractions go to the largest remainders, then to the earlier stratum.
    ``least.sum()`` must not exceed the budget.
    """
    budget = min(budget, int(sizes.sum()))
    weight = sizes.astype(float) ** temper * (sizes > 0)

    def share(scale: float) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.clip(scale * weight, least, sizes)

    low, high = 0.0, float((sizes / np.maximum(weight, 1e-300)).max(initial=0.0)) + 1.0
    for _ in range(100):  # enough to exhaust a double
        middle = (low + high) / 2
        if share(middle).sum() > budget:
            high = middle
        else:
            low = middle
    wanted = share(low)
    given = np.floor(wanted + 1e-9).astype(np.int64)
    order = np.argsort(-(wanted - given), kind="stable")
    for stratum in order[: max(budget - int(given.sum()), 0)]:
        given[stratum] += 1
    # A stratum filled to the brim by rounding hands on what it cannot hold.
    surplus = np.maximum(given - sizes, 0)
    given -= surplus
    for stratum in order:
        room = min(int(sizes[stratum] - given[stratum]), budget - int(given.sum()))
        given[stratum] += max(room, 0)
    return given


def dataset_strata(problem: SelectionProblem) -> list[tuple[str, Rows, int]]:
    """(name, rows in random order, cases to take) of every dataset and modality in it.

    Floors a stratum, then tempered sizes. What the descriptor methods fill: descriptors of different
    datasets do not compare, because their classes differ.
    """
    table = problem.table
    pair = table.dataset.codes.astype(np.int64) * len(table.modality.names) + table.modality.codes
    _, first, inverse = np.unique(pair, return_index=True, return_inverse=True)
    sizes = np.bincount(inverse)
    least = feasible_floor(sizes, problem.settings.dataset_floor, problem.budget)
    shares = allocate(sizes, problem.budget, temper=problem.settings.temper, least=least)
    out = []
    for stratum, (row, share) in enumerate(zip(first.tolist(), shares.tolist(), strict=True)):
        name = f"{table.dataset[row]} ({table.modality[row]})"
        out.append((name, problem.by_key(np.flatnonzero(inverse == stratum)), share))
    return out
