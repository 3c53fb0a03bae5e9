"""Which of several models is better: score files of the same cases, paired by case and class."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fve_pipeline.errors import EvaluationError
from fve_pipeline.evaluation.report import METRICS
from fve_pipeline.metrics.paired import Paired, compare_paired, holm

__all__ = ["Contest", "Key", "Scores", "compare_scores", "read_scores"]

_LOWER_IS_BETTER = ("hd95",)
_SEEN = "seen_in_training"  # files of before this was noted lack it
_COLUMNS = ("case", "dataset", "class_id", *METRICS, "truth_voxels", "pred_voxels")

Key = tuple[str, str, int | None]
"""Case, data set and class; the class is None in a case's own row."""


@dataclass(frozen=True)
class Scores:
    """One model's scores: a row for each case, data set and class (None: of the case), under the model's ``name``."""

    name: str
    path: Path
    rows: Mapping[Key, Mapping[str, Any]]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Contest:
    """``second`` against ``first`` in one ``metric``: of a data set's ``class_id``, or of each case's mean (None).

    ``p_holm`` is adjusted for all comparisons of this metric in the class rows, or in the overall rows.
    """

    first: str
    second: str
    metric: str
    dataset: str
    class_id: int | None
    paired: Paired
    p_holm: float

    def as_row(self) -> dict[str, Any]:
        """Everything, flat; NaN as None."""
        row = {key: value for key, value in asdict(self).items() if key != "paired"}
        row |= {
            {"first": "first_mean", "second": "second_mean"}.get(key, key): value
            for key, value in asdict(self.paired).items()
        }
        return {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in row.items()
        }


def read_scores(
    paths: Sequence[Path], names: Sequence[str] = (), *, allow_seen: bool = False
) -> list[Scores]:
    """Read score files of ``fve evaluate``, each under a name of its own: those given, or what tells the paths apart.

    Raises
    ------
    EvaluationError
        For a file that holds no scores, equal names, scores taken by other rules, or other cases and classes; and,
        without ``allow_seen``, for a case that one of the models was trained on.
    """
    if len(paths) < 2:
        msg = f"{len(paths)} score file; expected two or more of fve evaluate, of the same cases"
        raise EvaluationError(msg)
    own = list(names) or _told_apart(paths)
    if len(own) != len(paths) or len(set(own)) < len(own):
        msg = f"names {', '.join(own)} for {len(paths)} score files; expected one each, no two alike"
        raise EvaluationError(msg)
    found = [_read(path, name) for path, name in zip(paths, own, strict=True)]
    for other in found[1:]:
        _require_paired(found[0], other)
    for one in () if allow_seen else found:
        _require_unseen(one)
    return found


def compare_scores(scores: Sequence[Scores], *, seed: int = 0) -> list[Contest]:
    """Compare every two of the models: overall, where a case counts once by its own row, then class by class.

    A score that no file has (F1 without instances) is left out. A class that is not in a case's truth, and that one model
    made up there, has no value for the others: it counts in the case's mean, and is undefined in the class's row.
    """
    made: list[Contest] = []
    keys = sorted({key for one in scores for key in one.rows}, key=lambda key: (key[1], key[2] or 0, key[0]))
    for metric in METRICS:
        if all(row[metric] is None for one in scores for row in one.rows.values()):
            continue
        for families in ({("", None): [key for key in keys if key[2] is None]}, _classes(keys)):
            rows = [
                (first, second, place, _paired(first, second, own, metric, place, seed))
                for place, own in families.items()
                for first, second in combinations(scores, 2)
            ]
            rows = [row for row in rows if row[3].n or row[3].undefined]
            adjusted = holm([row[3].p for row in rows])
            made += [
                Contest(first.name, second.name, metric, place[0], place[1], paired, p)
                for (first, second, place, paired), p in zip(rows, adjusted, strict=True)
            ]
    return made


def _paired(
    first: Scores, second: Scores, keys: Sequence[Key], metric: str, place: tuple[str, int | None], seed: int
) -> Paired:
    values = [[one.rows[key][metric] if key in one.rows else None for key in keys] for one in (first, second)]
    # None on both sides: the score does not apply to the case.
    kept = [pair for pair in zip(*values, strict=True) if pair != (None, None)]
    a, b = ([math.nan if pair[side] is None else pair[side] for pair in kept] for side in (0, 1))
    lower = metric in _LOWER_IS_BETTER
    return compare_paired(a, b, lower_is_better=lower, seed=seed, name=f"{metric}/{place[0]}/{place[1]}")


def _classes(keys: Sequence[Key]) -> dict[tuple[str, int | None], list[Key]]:
    groups: dict[tuple[str, int | None], list[Key]] = defaultdict(list)
    for key in keys:
        if key[2] is not None:
            groups[key[1], key[2]].append(key)
    return groups


def _told_apart(paths: Sequence[Path]) -> list[str]:
    """The files' names, or as many of the folders above as make them differ."""
    parts = [path.absolute().with_suffix("").parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-depth:]) for one in parts]
        if len(set(names)) == len(names):
            common = 1 if depth > 1 and len({one[-1] for one in parts}) == 1 else 0
            return ["/".join(one[-depth : len(one) - common]) for one in parts]
    msg = f"{paths[0]} is given twice; give score files of different models"
    raise EvaluationError(msg)


def _read(path: Path, name: str) -> Scores:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        msg = f"{path}: no score file ({error}); expected the Parquet file that fve evaluate --out wrote"
        raise EvaluationError(msg) from error
    if lacking := [column for column in _COLUMNS if column not in table.column_names]:
        msg = f"{path}: lacks the columns {', '.join(lacking)}; expected the Parquet file that fve evaluate --out wrote"
        raise EvaluationError(msg)
    columns = [name for name in (*_COLUMNS, _SEEN) if name in table.column_names]
    rows = {
        (row["case"], row["dataset"] or "", row["class_id"]): row
        for row in _scored(table.select(columns).to_pylist())
    }
    return Scores(name, path, rows, _settings(path))


def _scored(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        if any(row[metric] is not None for metric in METRICS):
            yield row


def _settings(path: Path) -> dict[str, Any]:
    """How the scores were taken, from the file of means beside them; empty where that is gone."""
    try:
        found = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return dict(found["settings"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _require_unseen(scores: Scores) -> None:
    seen = sorted({case for (case, _, _), row in scores.rows.items() if row.get(_SEEN)})
    if seen:
        msg = (
            f"{scores.path}: the model {scores.name} was trained on {len(seen)} of these cases, such as {seen[0]}. A "
            "comparison is of cases that no model has learnt from: predict and score held-out ones, or say --allow-seen"
        )
        raise EvaluationError(msg)


def _require_paired(first: Scores, other: Scores) -> None:
    if first.settings and other.settings and first.settings != other.settings:
        differ = [
            f"{key} {first.settings.get(key)!r} and {other.settings.get(key)!r}"
            for key in sorted({*first.settings, *other.settings})
            if first.settings.get(key) != other.settings.get(key)
        ]
        msg = f"{first.path} and {other.path}: scored by other rules ({'; '.join(differ)}); score both by one"
        raise EvaluationError(msg)
    for one, more in ((other, first), (first, other)):
        # A class that is not in the truth is scored only where it was predicted.
        missing = [key for key, row in more.rows.items() if key not in one.rows and row["truth_voxels"] != 0]
        if missing:
            case, _, class_id = min(missing, key=str)
            what = case if class_id is None else f"class {class_id} of {case}"
            msg = (
                f"{one.path}: lacks {len(missing)} scores that the other file has, such as {what}. A comparison is of the "
                "same cases and classes: predict and score those, or score both with one --classes"
            )
            raise EvaluationError(msg)
