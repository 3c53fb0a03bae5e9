"""What the runs of a plan came to: means over seeds, and each variant against the first, paired by seed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fve_pipeline.ablation.plan import Trial
from fve_pipeline.metrics import Interval, bootstrap_mean
from fve_pipeline.metrics.paired import Paired, compare_paired, holm

__all__ = ["SCORES", "Row", "table_of"]

#: Of the last validation, means over classes: Dice with the existence filter and without, presence by slice.
SCORES = ("dice", "dice_raw", "precision", "recall", "f1")


@dataclass(frozen=True)
class Row:
    """A variant's mean of one score over its seeds, and ``against`` the first variant, ``p_holm`` over all variants."""

    variant: str
    score: str
    values: Mapping[int, float]
    mean: Interval
    against: Paired | None
    p_holm: float

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON: NaN as None."""
        paired = (
            None
            if self.against is None
            else {key: _plain(value) for key, value in vars(self.against).items()}
        )
        return {
            "variant": self.variant,
            "score": self.score,
            "seeds": {str(seed): _plain(value) for seed, value in self.values.items()},
            **{key: _plain(value) for key, value in vars(self.mean).items()},
            "against_first": paired,
            "p_holm": _plain(self.p_holm),
        }


def table_of(runs: Sequence[Trial], results: Mapping[str, str]) -> list[Row]:
    """Sum up ``results``: what ``fve train --json`` printed, by the run's folder. Runs without one are left out.

    A variant is compared with the first one on the seeds that both have.
    """
    scores: dict[str, dict[int, Mapping[str, float]]] = {}
    for run in runs:
        if run.folder in results:
            scores.setdefault(run.variant, {})[run.seed] = _means(json.loads(results[run.folder])["scores"])
    rows: list[Row] = []
    for score in SCORES:
        own = {
            name: {seed: values[score] for seed, values in by_seed.items()}
            for name, by_seed in scores.items()
        }
        first = next(iter(own.values()), {})
        against = {
            name: compare_paired(
                [first.get(seed, math.nan) for seed in values], list(values.values()), name=f"{name}/{score}"
            )
            for name, values in list(own.items())[1:]
        }
        adjusted = dict(zip(against, holm([paired.p for paired in against.values()]), strict=True))
        rows += [
            Row(
                *(name, score, values, bootstrap_mean(list(values.values()), name=f"{name}/{score}")),
                against.get(name),
                adjusted.get(name, math.nan),
            )
            for name, values in own.items()
        ]
    return rows


def _means(classes: Mapping[str, Mapping[str, float | None]]) -> dict[str, float]:
    """Means over classes; a score without a value counts as it does in the run's own mean: not at all."""
    found = {}
    for score in SCORES:
        known = [float(value) for one in classes.values() if (value := one.get(score)) is not None]
        found[score] = sum(known) / len(known) if known else math.nan
    return found


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
