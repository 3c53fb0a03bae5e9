"""Stratified random: floors first, then tempered dataset sizes. The default."""

from __future__ import annotations

from collections import Counter

import numpy as np

from fve_pipeline.coreset.floors import FloorFiller, shortfall_note
from fve_pipeline.coreset.method import Choice, SelectionProblem, register
from fve_pipeline.coreset.strata import allocate

__all__ = ["Stratified"]


class Stratified:
    """Random within strata: the strong baseline, and the default."""

    name = "stratified"
    summary = "random, with floors for every modality, dataset and class, and tempered dataset sizes"

    def choose(self, problem: SelectionProblem) -> Choice:
        """Choose at random within each stratum, floors first."""
        table = problem.table
        filler = FloorFiller(problem)
        filler.fill(problem.budget)
        rows = filler.choice.rows
        short = []
        if len(rows) == problem.budget:
            unbound = FloorFiller(problem)
            unbound.fill(len(table))
            short = shortfall_note(problem, rows, len(unbound.choice.rows))
        taken = np.bincount(table.dataset.codes[rows], minlength=len(table.dataset.names)).astype(np.int64)
        shares = allocate(
            table.dataset.counts(), problem.budget, temper=problem.settings.temper, least=taken
        ).tolist()
        have: Counter[int] = Counter(table.dataset.codes[rows].tolist())
        for row in problem.by_key(np.flatnonzero(~filler.taken)).tolist():
            code = int(table.dataset.codes[row])
            if have[code] < shares[code]:
                have[code] += 1
                filler.take(
                    row, f"share of dataset {table.dataset.names[code]}: {have[code]} of {shares[code]}"
                )
        return Choice(rows, filler.choice.reasons, short)


register(Stratified())
