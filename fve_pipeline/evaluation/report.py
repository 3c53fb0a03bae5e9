"""From scores a case to a table, means and intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fve_pipeline.evaluation.cases import CaseScores, ScoreSettings, peak_bytes, score_case
from fve_pipeline.evaluation.pairs import Missing, Pair
from fve_pipeline.evaluation.runtimes import SECONDS_A_CLASS, Runtime
from fve_pipeline.evaluation.seen import seen_in_training
from fve_pipeline.files.atomic import write_whole
from fve_pipeline.metrics import GroundingScore, Interval, bootstrap_mean, ground, mean_score
from fve_pipeline.runtime.executor import Executor, Task
from fve_pipeline.runtime.progress import Progress, Silent

__all__ = ["METRICS", "SCHEMA", "Evaluation", "evaluate", "group_mean", "save"]

METRICS = ("dsc", "nsd", "hd95", "f1", "dsc_tp")

#: A row a class of a case, and a row a case, whose ``class_id`` is null. Scores are null where they do not
#: apply (F1 of a semantic case) and NaN where they do but have no value (HD95 to an empty mask).
#: ``seen_in_training`` is null where no report of ``fve predict`` lies beside the prediction.
SCHEMA = pa.schema(
    [
        ("case", pa.string()),
        ("dataset", pa.string()),
        ("modality", pa.string()),
        ("class_id", pa.int32()),
        *((name, pa.float64()) for name in METRICS),
        ("truth_voxels", pa.int64()),
        ("pred_voxels", pa.int64()),
        ("matched", pa.int64()),
        ("truth_instances", pa.int64()),
        ("pred_instances", pa.int64()),
        ("seconds_a_class", pa.float64()),
        ("over_time", pa.bool_()),
        ("seen_in_training", pa.bool_()),
    ]
)

Row = dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """All scores (``rows``, by case and class), their means (``summary``), and the cases without scores.

    ``findings`` is what a board of findings would say of all of them, where they were scored as such.
    """

    settings: ScoreSettings
    rows: tuple[Row, ...]
    summary: tuple[Row, ...]
    failures: tuple[Missing, ...]
    findings: GroundingScore | None = None

    def as_json(self) -> dict[str, Any]:
        """Settings, summary and failures as JSON can hold them (NaN as null)."""
        cases = sum(row["class_id"] is None for row in self.rows)
        return {
            "settings": asdict(self.settings),
            "cases": cases,
            "failures": {one.case: one.what for one in self.failures},
            "summary": [_plain_values(row) for row in self.summary],
            **({} if self.findings is None else {"findings": _plain_values(asdict(self.findings))}),
        }


def evaluate(
    pairs: Sequence[Pair],
    settings: ScoreSettings,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
    runtimes: dict[str, Runtime] | None = None,
    missing: Sequence[Missing] = (),
    seed: int = 0,
) -> Evaluation:
    """Score all pairs, on the workers of ``executor`` if given, and sum up.

    The result does not depend on the number of workers. ``missing`` is added to the failures.
    """
    progress = progress or Silent()
    progress.stage("scoring", len(pairs), "cases")
    results = []
    for result in _score(pairs, settings, executor):
        results.append(result)
        progress.advance()
    results.sort(key=lambda one: one.pair.case)
    _note_unprompted(results, settings, progress)
    failures = [*missing, *(Missing(one.pair.case, one.error) for one in results if one.error is not None)]
    rows: list[Row] = []
    for result in results:
        if result.error is None:
            runtime = _runtime(result.pair, runtimes or {})
            if runtimes is not None and runtime is None:
                failures.append(
                    Missing(result.pair.case, "no runtime is given; scored without the time limit")
                )
            rows += _case_rows(result, settings, runtime)
    failures.sort(key=lambda one: one.case)
    grounded = [one for result in results for one in result.grounded]
    found = ground(grounded) if settings.findings else None
    return Evaluation(settings, tuple(rows), tuple(_summary(rows, seed)), tuple(failures), found)


def _note_unprompted(results: Sequence[CaseScores], settings: ScoreSettings, progress: Progress) -> None:
    """Say where prompts were to be read and none were there, so that instances may have passed for classes."""
    without = [
        one.pair for one in results if settings.allow_pickle and not one.prompted and one.error is None
    ]
    if without and settings.class_ids is None and not settings.instances:
        lacking = "no image was found (--images)" if without[0].image is None else "none in its image"
        progress.note(
            f"{len(without)} cases without text_prompts, as {without[0].case}: {lacking}; "
            "every id is scored as a class"
        )


def _runtime(pair: Pair, runtimes: dict[str, Runtime]) -> Runtime | None:
    """By the case's name, or by the prediction's, which is what ``fve predict`` knows."""
    return runtimes.get(pair.case) or runtimes.get(pair.predicted_as)


def _score(pairs: Sequence[Pair], settings: ScoreSettings, executor: Executor | None) -> Iterator[CaseScores]:
    if executor is None:
        yield from (score_case(pair, settings) for pair in pairs)
        return
    tasks = (Task(f"score-{pair.case}", (pair, settings), peak_bytes(pair)) for pair in pairs)
    yield from (result for _, result in executor.run(score_case, tasks))


def save(evaluation: Evaluation, out: Path) -> None:
    """Write ``out`` (Parquet) and, beside it with the ending .json, settings, means and failures."""
    table = pa.Table.from_pylist(list(evaluation.rows), schema=SCHEMA)
    out.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(out) as file:
        pq.write_table(table, file)
    with write_whole(out.with_suffix(".json")) as file:
        file.write(f"{json.dumps(evaluation.as_json(), indent=1)}\n".encode())


def _case_rows(result: CaseScores, settings: ScoreSettings, runtime: Runtime | None) -> list[Row]:
    pair, found = result.pair, result.instances
    base: Row = dict.fromkeys(SCHEMA.names) | {
        "case": pair.case,
        "dataset": pair.dataset,
        "modality": pair.modality,
        "seen_in_training": seen_in_training(pair),
    }
    if runtime is not None:
        seconds = runtime.a_class(len(result.classes))
        base |= {"seconds_a_class": seconds, "over_time": seconds > SECONDS_A_CLASS}
    if found is not None:
        numbers = {"matched": found.matched, "truth_instances": found.truth, "pred_instances": found.pred}
        scores = {name: mean_score([getattr(found, name)], settings.convention) for name in ("f1", "dsc_tp")}
        return [_timed(base | numbers | scores)]
    counts: list[Row] = [
        {"matched": one.matched, "truth_instances": one.truth, "pred_instances": one.pred}
        for one in result.grounded
    ] or [{} for _ in result.classes]
    rows = [_timed(base | asdict(one) | own) for one, own in zip(result.classes, counts, strict=True)]
    means = {
        name: mean_score([row[name] for row in rows], settings.convention) for name in ("dsc", "nsd", "hd95")
    }
    return [*rows, base | means]


def _timed(row: Row) -> Row:
    """A row of a case over the time limit scores zero, and its distance is not counted."""
    if not row["over_time"]:
        return row
    zero = {name: 0.0 for name in ("dsc", "nsd", "f1", "dsc_tp") if row[name] is not None}
    return row | zero | ({"hd95": math.nan} if row["hd95"] is not None else {})


def group_mean(
    key: tuple[str, str, int | None], metric: str, values: Sequence[float], seed: int = 0
) -> Interval:
    """Mean and interval of a (level, name, class_id); the same wherever it is asked for."""
    return bootstrap_mean(values, seed=seed, name=f"{key}{metric}")


def _summary(rows: Sequence[Row], seed: int) -> Iterable[Row]:
    cases = [row for row in rows if row["class_id"] is None]
    groups: dict[tuple[str, str, int | None], list[Row]] = {("all", "", None): cases}
    for row in cases:
        for level in ("modality", "dataset"):
            if row[level]:
                groups.setdefault((level, row[level], None), []).append(row)
    for row in rows:
        if row["class_id"] is not None:
            groups.setdefault(("class", row["dataset"], row["class_id"]), []).append(row)
    order = ("all", "modality", "dataset", "class")
    for key in sorted(groups, key=lambda k: (order.index(k[0]), k[1], k[2] or 0)):
        for metric in METRICS:
            values = [row[metric] for row in groups[key] if row[metric] is not None]
            if values:
                interval = group_mean(key, metric, values, seed)
                undefined = len(values) - interval.n
                yield dict(zip(("level", "name", "class_id"), key, strict=True)) | {
                    "metric": metric,
                    **asdict(interval),
                    "undefined": undefined,
                }


def _plain_values(row: Row) -> Row:
    return {key: _plain(value) for key, value in row.items()}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
