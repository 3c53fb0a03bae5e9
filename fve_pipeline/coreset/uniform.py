"""Uniform at random: what every other method is reported against."""

from __future__ import annotations

import numpy as np

from fve_pipeline.coreset.method import Choice, SelectionProblem, register

__all__ = ["Random"]


class Random:
    """Uniformly at random, which every other method is reported against."""

    name = "random"
    summary = "uniform at random"

    def choose(self, problem: SelectionProblem) -> Choice:
        """Choose the first of the seeded order."""
        rows = problem.by_key(np.arange(len(problem.table)))[: problem.budget].tolist()
        return Choice(rows, ["random draw"] * len(rows))


register(Random())
