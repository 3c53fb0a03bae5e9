"""What a run's folder tells: its log line by line, its settings, and its pictures of the last validation."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fve_pipeline.errors import ReportError
from fve_pipeline.runtime.suggest import beside

__all__ = ["History", "names_apart", "read_history"]


@dataclass(frozen=True)
class History:
    """A run of ``fve train``: its steps and its validations in order, and what else lies in its folder.

    A step has ``step``, ``loss`` and its parts, ``lr``, ``samples_per_s`` and ``data_wait`` (a share of 1); a validation
    ``step``, ``dice`` (the mean) and ``classes`` (by "dataset/class": dice, dice_raw, precision, recall, subjects).
    """

    folder: Path
    steps: Sequence[Mapping[str, Any]]
    validations: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any]

    def dice(self, name: str) -> list[tuple[int, float]]:
        """Return (step, Dice) of a class, where it has one."""
        found = [(one["step"], one["classes"].get(name, {}).get("dice")) for one in self.validations]
        return [(step, value) for step, value in found if value is not None]

    @property
    def classes(self) -> list[str]:
        return sorted({name for one in self.validations for name in one["classes"]})

    @property
    def pictures(self) -> list[Path]:
        """Return those of the last validation that left any."""
        found = sorted((self.folder / "images").glob("step-*.png"))
        last = [path.name.split("-")[1] for path in found[-1:]]
        return [path for path in found if path.name.split("-")[1] in last]


def read_history(folder: Path) -> History:
    """Read a run's folder. Lines that a kill cut are left out.

    Raises
    ------
    ReportError
        Where no run is.
    """
    log = folder / "log.jsonl"
    if not log.is_file():
        meant = "" if folder.exists() else beside(folder)
        msg = f"{folder}: no run of fve train (no log.jsonl in it). {meant}Give the folder of its --out"
        raise ReportError(msg)
    lines = [json.loads(line) for line in log.read_text().split("\n")[:-1] if line]
    settings = folder / "settings.json"
    return History(
        folder,
        [line for line in lines if line["what"] == "train"],
        [line for line in lines if line["what"] == "validation"],
        json.loads(settings.read_text()) if settings.is_file() else {},
    )


def names_apart(runs: Sequence[History]) -> list[str]:
    """Return what tells the folders of runs apart: their paths below the last folder that they share."""
    places = [str(run.folder.absolute()) for run in runs]
    if len(set(places)) < 2:
        return [run.folder.absolute().name for run in runs]
    return [os.path.relpath(place, os.path.commonpath(places)) for place in places]
