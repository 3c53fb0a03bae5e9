"""Fingerprints of cases, from a store's own slices or from files: nothing needs to be kept while a store is built."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fve_pipeline.build.prepare.case import read_rendition
from fve_pipeline.build.prepare.job import PrepareJob
from fve_pipeline.duplicates import Fingerprinter
from fve_pipeline.errors import StoreFormatError
from fve_pipeline.files.atomic import write_whole
from fve_pipeline.imaging.intensity import plan_uint8
from fve_pipeline.imaging.resample import Fit
from fve_pipeline.imaging.windows import parse_window
from fve_pipeline.runtime.executor import Task
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.reader import Store
from fve_pipeline.store.runs import Runs

__all__ = ["CaseRun", "Shelf", "ShelfWriter", "axial_runs", "fingerprint_of", "shelve_store"]

_AT_ONCE = 16
_PRINTS, _PLACES = "fingerprints.bin", "fingerprints.parquet"
_SCHEMA = pa.schema([("case", pa.string()), ("first", pa.int64()), ("planes", pa.int64())])


class Shelf:
    """Fingerprints in a folder, one file of planes and one of whose they are; only those that are asked for are read."""

    def __init__(self, folder: Path) -> None:
        places = pq.read_table(folder / _PLACES, schema=_SCHEMA)
        self.cases: list[str] = places.column("case").to_pylist()
        self._first = places.column("first").to_numpy()
        self._count = places.column("planes").to_numpy()
        total = int(self._count.sum())
        size = (folder / _PRINTS).stat().st_size
        if size != total * 1024:
            msg = (
                f"{folder / _PRINTS} has {size} bytes where {_PLACES} tells of {total * 1024}: make it again"
            )
            raise StoreFormatError(msg)
        self._planes: Any = (
            np.memmap(folder / _PRINTS, np.uint8, "r", shape=(total, 32, 32))
            if total
            else np.empty((0, 32, 32), np.uint8)
        )

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        first = int(self._first[number])
        return np.asarray(self._planes[first : first + int(self._count[number])])

    @staticmethod
    def found(folder: Path) -> bool:
        """Whether there is one."""
        return (folder / _PLACES).is_file()

    @staticmethod
    def move(folder: Path, into: Path, *, keep: bool) -> None:
        """Move one into another folder, in place of what is there, or only remove that."""
        for name in (_PLACES, _PRINTS):
            (into / name).unlink(missing_ok=True)
        if keep:
            for name in (_PRINTS, _PLACES):
                shutil.move(folder / name, into / name)


class ShelfWriter:
    """Puts fingerprints on a shelf as they come; a context manager. Without its table there is no shelf."""

    def __init__(self, folder: Path) -> None:
        (folder / _PLACES).unlink(missing_ok=True)
        self._folder = folder
        self._places: dict[str, tuple[int, int]] = {}
        self._total = 0

    def __enter__(self) -> ShelfWriter:
        self._file = (self._folder / _PRINTS).open("wb")
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(self, case: str, planes: NDArray[np.uint8]) -> None:
        """Take the fingerprint of a case, (planes, 32, 32)."""
        self._file.write(planes.tobytes())
        self._places[case] = self._total, len(planes)
        self._total += len(planes)

    def finish(self, order: Sequence[str]) -> None:
        """Write whose they are, cases in ``order``; those that never came are left out."""
        self._file.flush()
        rows = [(case, *self._places[case]) for case in order if case in self._places]
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
        with write_whole(self._folder / _PLACES) as file:
            pq.write_table(pa.table(columns, schema=_SCHEMA), file, compression="zstd")


@dataclass(frozen=True, slots=True)
class CaseRun:
    """The axial rows of a case in its first rendition; ``plane`` (y,x) is a slice's shape, spacing (z,y,x) in mm."""

    case: str
    rows: range
    plane: tuple[int, int]
    spacing: tuple[float, float, float]


def axial_runs(store: Store) -> list[CaseRun]:
    """Return each case's, in the store's order; a case without axial slices has none."""
    index, found = store.index, {}
    starts = pa.array(Runs.of(index).starts)
    columns = index.select(["case", "view", "shape", "spacing"]).take(starts)
    for run, row in zip(Runs.of(index), columns.to_pylist(), strict=True):
        if row["view"] == "axial" and row["case"] not in found:
            found[row["case"]] = CaseRun(row["case"], run, tuple(row["shape"]), tuple(row["spacing"]))
    return list(found.values())


def shelve_store(store: Store, runs: Sequence[CaseRun], folder: Path, resources: Resources) -> Shelf:
    """Make the fingerprints of a store's cases in ``folder``, one task a case, and return them."""
    resources.progress.stage("fingerprints", len(runs), "cases")
    tasks = (Task(run.case, (store, run), 256 << 20, 0.05) for run in runs)
    with ShelfWriter(folder) as shelf:
        for task, planes in resources.executor.run(_of_run, tasks):
            resources.progress.advance()
            shelf.add(task.args[1].case, planes)
        shelf.finish([run.case for run in runs])
    return Shelf(folder)


def _of_run(store: Store, run: CaseRun) -> NDArray[np.uint8]:
    """Return the fingerprint of one case, from the slices that it needs."""
    maker = Fingerprinter((len(run.rows), *run.plane), run.spacing)
    fit = Fit(run.plane, store.settings.size, store.settings.resize)
    needed = maker.needed
    for first in range(0, len(needed), _AT_ONCE):
        numbers = needed[first : first + _AT_ONCE]
        pixels = store.pixel_rows.take([run.rows[number] for number in numbers])
        focal = pixels if pixels.ndim == 3 else pixels[..., 0]
        for number, plane in zip(numbers, fit.restore_images(np.ascontiguousarray(focal)), strict=True):
            maker.add(number, plane)
    return maker.planes()


def fingerprint_of(job: PrepareJob) -> NDArray[np.uint8]:
    """Return the fingerprint of a case from its files, as its first rendition is shown."""
    rendition = job.case.renditions[0]
    volume = read_rendition(job, rendition)
    convert = plan_uint8(
        volume.array,
        modality=job.case.modality,
        rule=job.settings.rule,
        window=parse_window(rendition.window) if rendition.window is not None else None,
        percentiles_over=job.settings.percentiles_over,
        scaled=job.case.scaled,
    )
    maker = Fingerprinter(volume.shape, volume.spacing)
    for number in maker.needed:
        maker.add(number, convert(np.ascontiguousarray(volume.array[number])))
    return maker.planes()
