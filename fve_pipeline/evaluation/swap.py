"""Whether a model reads the sentence: its predictions beside those that it made of the same images for another one."""

from __future__ import annotations

from dataclasses import dataclass

from fve_pipeline.evaluation.report import Evaluation
from fve_pipeline.metrics import mean_score

__all__ = ["SwapScore", "against_swapped"]


@dataclass(frozen=True)
class SwapScore:
    """Mean Dice over the ``pairs`` (case, class) that both have: with its own sentence, and with another's.

    A model that does not read gives the same twice, a ``ratio`` of 1. It is None where the swapped score is 0.
    """

    pairs: int
    true: float
    swapped: float

    @property
    def ratio(self) -> float | None:
        """The true score by the swapped one."""
        return self.true / self.swapped if self.swapped else None


def against_swapped(true: Evaluation, swapped: Evaluation) -> SwapScore:
    """Compare the scores of two sets of predictions against the same truths, class by class of each case."""
    own, other = (
        {(row["case"], row["class_id"]): row["dsc"] for row in one.rows if row["class_id"] is not None}
        for one in (true, swapped)
    )
    both = sorted(key for key in own.keys() & other.keys() if own[key] is not None and other[key] is not None)
    means = [mean_score([scores[key] for key in both], "physical") for scores in (own, other)]
    return SwapScore(len(both), *means)
