"""The tables of docs/evidence.md, out of the runs that are done: means over seeds, paired differences, verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from fve_pipeline.ablation.plan import load_plan, trials_of
from fve_pipeline.ablation.table import table_of
from fve_pipeline.metrics.paired import compare_paired, holm

__all__ = ["CLAIMS", "Question", "fill", "verdict"]

_MARGIN = 0.01  # a gain that is surely below this is none
_SHOWN = ("dice", "dice_raw", "precision", "recall", "f1")


class Question(NamedTuple):
    """Is ``better`` above ``worse``? Each is a variant and a score."""

    text: str
    better: tuple[str, str]
    worse: tuple[str, str]


CLAIMS: dict[str, tuple[Question, ...]] = {
    "isd": (
        Question("the filter pays, trained with the cut-off", ("cut-off", "dice"), ("cut-off", "dice_raw")),
        Question("the filter pays, trained without", ("no cut-off", "dice"), ("no cut-off", "dice_raw")),
        Question("the cut-off pays", ("cut-off", "dice"), ("no cut-off", "dice")),
        Question("the cut-off pays for masks alone", ("cut-off", "dice_raw"), ("no cut-off", "dice_raw")),
        Question("the cut-off pays for presence (F1)", ("cut-off", "f1"), ("no cut-off", "f1")),
    ),
    "fve": (
        Question("neighbours pay: k = 1 above 0", ("k = 1", "dice"), ("k = 0", "dice")),
        *(
            Question(f"k = {k} above 1, neighbours as they are", (f"k = {k}", "dice"), ("k = 1", "dice"))
            for k in (2, 3, 4)
        ),
        Question("k = 2 above the maximum of as many", ("k = 2", "dice"), ("maximum of 4", "dice")),
    ),
    "bio2vol": tuple(
        Question(f"the paper's setting above {name}", ("as the paper", "dice"), (name, "dice"))
        for name in ("no head", "2 heads", "4 heads", "no DRS", "no SAT", "depth 3", "depth 5")
    ),
    "coreset": tuple(
        Question(f"{name} above random", (name, "dice"), ("random", "dice"))
        for name in ("stratified", "multicover", "facility")
    ),
}


def fill(page: str, out: Path) -> str:
    """Return the page with what stands between each claim's two marks made anew."""
    for claim, questions in CLAIMS.items():
        begin, end = f"<!-- {claim} -->\n", f"<!-- /{claim} -->"
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}{_tables(out, claim, questions)}{end}{rest.partition(end)[2]}"
    return page


def verdict(low: float, high: float) -> str:
    """Return what an interval of the gain says of it.

    >>> verdict(0.02, 0.08), verdict(-0.03, 0.004), verdict(-0.02, 0.05), verdict(math.nan, math.nan)
    ('reproduced', 'not reproduced', 'not decidable', 'not decidable')
    """
    return "reproduced" if low > 0 else "not reproduced" if high < _MARGIN else "not decidable"


def _tables(out: Path, claim: str, questions: Sequence[Question]) -> str:
    plan = out / f"{claim}.toml"
    runs = trials_of(load_plan(plan)) if plan.exists() else []
    files = {run.folder: out / claim / run.folder / "result.json" for run in runs}
    found = table_of(runs, {folder: file.read_text() for folder, file in files.items() if file.exists()})
    if not found:
        return "\nNot run yet.\n\n"
    values = {(row.variant, row.score): row.values for row in found}
    names = list(dict.fromkeys(row.variant for row in found))
    lines = ["", "| variant | seeds | " + " | ".join(_SHOWN) + " |", "|---" * (2 + len(_SHOWN)) + "|"]
    for name in names:
        cells = [f"{np.nanmean(list(values[name, score].values())):.3f}" for score in _SHOWN]
        lines.append(f"| {name} | {len(values[name, 'dice'])} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_answers(questions, values), ""]) + "\n"


def _answers(
    questions: Sequence[Question], values: Mapping[tuple[str, str], Mapping[int, float]]
) -> list[str]:
    heads = ("claim", "pairs", "gain", "95 % interval (t)", "bootstrap", "p (Holm)", "verdict")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    pairs = [(values.get(q.worse, {}), values.get(q.better, {})) for q in questions]
    common = [sorted(worse.keys() & better.keys()) for worse, better in pairs]
    paired = [
        compare_paired([worse[s] for s in seeds], [better[s] for s in seeds], name=q.text)
        for q, (worse, better), seeds in zip(questions, pairs, common, strict=True)
    ]
    adjusted = holm([one.p if one.n > 1 else math.nan for one in paired])
    for q, (worse, better), seeds, one, p in zip(questions, pairs, common, paired, adjusted, strict=True):
        low, high = _interval([better[s] - worse[s] for s in seeds])
        cells = [q.text, str(one.n)]
        if one.n < 2:
            lines.append(f"| {' | '.join(cells)} | | | | | not run |")
            continue
        cells += [
            f"{one.difference:+.3f}",
            f"{low:+.3f} to {high:+.3f}",
            f"{one.low:+.3f} to {one.high:+.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} | {p:.2f} | {verdict(low, high)} |")
    return lines


def _interval(differences: Sequence[float]) -> tuple[float, float]:
    """Student's 95 % interval of the mean."""
    n = len(differences)
    if n < 2:
        return math.nan, math.nan
    mean, spread = float(np.mean(differences)), float(np.std(differences, ddof=1))
    reach = float(stats.t.ppf(0.975, n - 1)) * spread / math.sqrt(n)
    return mean - reach, mean + reach
