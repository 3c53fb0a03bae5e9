"""Predicted label maps of a store's cases: found by name, laid on its slices, and scored."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fve_pipeline.errors import EvaluationError, FveError
from fve_pipeline.evaluation.pairs import SUFFIXES, stem
from fve_pipeline.imaging.resample import Fit
from fve_pipeline.imaging.views import take_view
from fve_pipeline.look.viewer.agreement import Agreement, agreement
from fve_pipeline.store.class_table import ClassEntry
from fve_pipeline.store.query import rows_of_cases
from fve_pipeline.store.reader import Store
from fve_pipeline.store.runs import Runs
from fve_pipeline.volume import read_image

__all__ = ["Predictions", "case_facts", "predicted_ids"]

Scores = dict[int, Agreement]


class Predictions:
    """Label maps in ``folder``, of the cases of ``store`` that have one; values are the ids of the store's classes.

    A file is a case's if its path below the folder, without its ending, is the case's id, its name, or its image's path.
    ``scores`` of ``fve evaluate`` tell the Dice of cases before they are counted here. Raises EvaluationError where no file
    is any case's.
    """

    def __init__(self, store: Store, folder: Path, scores: pa.Table | None = None) -> None:
        self.store, self.runs = store, Runs.of(store.index)
        files = {
            _key(path.relative_to(folder)): path
            for path in sorted(folder.rglob("*"))
            if path.name.lower().endswith(SUFFIXES)
        }
        told: dict[str, dict[int, float]] = {}
        for score in [] if scores is None else scores.select(["case", "class_id", "dsc"]).to_pylist():
            if score["class_id"] is not None and score["dsc"] is not None and score["dsc"] == score["dsc"]:
                told.setdefault(score["case"], {})[score["class_id"]] = score["dsc"]
        self.told: dict[str, dict[int, float]] = {}
        self.files: dict[str, Path] = {}
        for row in store.cases.select(["case", "source"]).to_pylist():
            keys = (row["case"], row["case"].partition("/")[2], _key(Path(row["source"])))
            path = next((files[key] for key in keys if key in files), None)
            if path is not None:
                self.files[row["case"]] = path
                self.told[row["case"]] = next((told[key] for key in keys if key in told), {})
        if not self.files:
            first = store.cases.column("case")[0].as_py()
            msg = (
                f"{folder}: no label map there is named for a case of the store; expected names such as {first}.nii.gz, "
                f"and found {', '.join(list(files)[:3]) or 'no label maps'}"
            )
            raise EvaluationError(msg)
        self.scores: dict[str, Scores] = {}
        self.problems: dict[str, str] = {}
        self._masks = lru_cache(maxsize=2)(self._read_masks)
        self._lock = threading.Lock()

    def masks(self, run: range) -> NDArray[np.uint16]:
        """Return the predicted labels of a run's slices, as its own masks lie: (n, S, S). Raises FveError, KeyError."""
        return self._masks(run.start, run.stop)

    def of_case(self, case: str) -> Scores:
        """Return a case's scores by class, each in the first run that shows it; counted once. Raises FveError, KeyError."""
        with self._lock:
            if case not in self.scores:
                self.scores[case] = self._score(case)
            return self.scores[case]

    def score_all(self, stop: threading.Event) -> None:
        """Score every case, one after the other, until told to stop; what cannot be read is kept in ``problems``."""
        for case in self.files:
            if stop.is_set():
                return
            try:
                self.of_case(case)
            except FveError as error:
                self.problems[case] = str(error)

    def dice(self, case: str, class_id: int | None) -> float | None:
        """Return a case's Dice of a class, or the mean of those it has; None as long as it is not counted."""
        found = self.told.get(case) or {
            each: value for each, one in self.scores.get(case, {}).items() if (value := one.dice) is not None
        }
        if class_id is not None:
            return found.get(class_id)
        return sum(found.values()) / len(found) if found else None

    def _score(self, case: str) -> Scores:
        if case not in self.files:
            raise KeyError(case)
        found: Scores = {}
        index = self.store.index
        for run in self.runs.of_rows(rows_of_cases(index, [case])):
            dataset, rendition = (index.column(name)[run.start].as_py() for name in ("dataset", "rendition"))
            shown = {
                entry.class_id: (entry.ids, predicted_ids(entry))
                for entry in self.store.class_table.shown(dataset, rendition)
                if entry.ids and entry.class_id not in found
            }
            if shown:
                truth = self.store.read_masks(run.start, run.stop)
                found |= agreement(truth, self.masks(run), shown)
        return found

    def _read_masks(self, start: int, stop: int) -> NDArray[np.uint16]:
        row = self.store.index.slice(start, 1).to_pylist()[0]
        settings = self.store.settings
        slices = take_view(self._labels(row["case"]), row["view"])
        order = self.store.index.column("slice").slice(start, stop - start).to_numpy()
        fit = Fit((slices.shape[1], slices.shape[2]), settings.size, settings.resize)
        return np.asarray(fit.masks(np.ascontiguousarray(slices[order])))

    def _labels(self, case: str) -> NDArray[np.uint16]:
        path = self.files[case]
        facts = self.store.cases.filter(pc.equal(self.store.cases.column("case"), case))
        shape = tuple(facts.column("shape")[0].as_py())
        array = read_image(path, member="segs" if path.suffix == ".npz" else None).array
        if array.shape != shape:
            msg = f"{path} has {array.shape} voxels (z,y,x), and the case {shape}: predict on the image that was built from"
            raise EvaluationError(msg)
        return np.asarray(array).astype(np.uint16)


def _key(path: Path) -> str:
    return (path.parent / stem(path)).as_posix()


def predicted_ids(entry: ClassEntry) -> set[int]:
    """Return the values of a label map that are a class's: its labels, or its own id where a union was asked for."""
    return {*entry.label_ids, entry.class_id}


def case_facts(scores: Scores) -> list[dict[str, Any]]:
    """Return the scores of a case as the page takes them."""
    return [
        {"id": class_id, "dice": one.dice, "slices": one.slices}
        for class_id, one in scores.items()
        if one.dice is not None
    ]
