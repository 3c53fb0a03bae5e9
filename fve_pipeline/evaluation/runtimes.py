"""The challenge's time limit: a case that took more than 60 s a class scores nothing."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from fve_pipeline.errors import EvaluationError

__all__ = ["SECONDS_A_CLASS", "Runtime", "read_runtimes"]

SECONDS_A_CLASS = 60.0


@dataclass(frozen=True)
class Runtime:
    """How long a case took, and for how many classes; None: as many as are scored."""

    seconds: float
    classes: int | None = None

    def a_class(self, scored: int) -> float:
        """Seconds a class; ``scored`` classes where the file did not say how many were asked for."""
        return self.seconds / max(1, self.classes or scored)


def read_runtimes(path: Path) -> dict[str, Runtime]:
    """Runtimes by case, from a CSV file with columns ``case``, ``seconds`` and, if known, ``classes``.

    ``fve predict`` writes such a file beside its label maps.

    Raises
    ------
    EvaluationError
        For a missing column or a value that is not a number.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"{path}: cannot be read ({error}); expected CSV with columns case, seconds."
        raise EvaluationError(msg) from error
    runtimes: dict[str, Runtime] = {}
    for line, row in enumerate(rows, start=2):
        try:
            seconds, classes = float(row["seconds"]), row.get("classes")
            if not seconds >= 0:
                raise ValueError(seconds)
            runtimes[row["case"]] = Runtime(seconds, int(classes) if classes else None)
        except (KeyError, TypeError, ValueError) as error:
            found = ", ".join(f"{key}={value}" for key, value in row.items())
            msg = f"{path}, line {line}: {found or 'nothing'}; expected case, seconds[, classes] as numbers."
            raise EvaluationError(msg) from error
    return runtimes
