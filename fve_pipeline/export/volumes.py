"""A store's samples as the volumes that they came from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import ExportError
from fve_pipeline.imaging.resample import Fit
from fve_pipeline.imaging.views import AXES, untake_view
from fve_pipeline.loading.samples import SampleIndex
from fve_pipeline.store.reader import Store

__all__ = ["StoredRun", "empty_folder", "primary", "showing_all", "stored_runs", "unplaced"]


@dataclass(frozen=True)
class StoredRun:
    """All slices of one case in one rendition and view: ``rows`` of the store.

    ``spacing`` is (z, y, x) in mm, ``affine`` maps the volume's index (z, y, x, 1) to LPS mm, and ``shape`` is the
    (H, W) of a slice before it was padded and resized.
    """

    store: Store
    dataset: str
    case: str
    rendition: str
    view: str
    split: str
    rows: range
    spacing: tuple[float, float, float]
    shape: tuple[int, int]
    affine: NDArray[np.float64]

    @property
    def name(self) -> str:
        """The case's name within its dataset, fit for a file's name."""
        return self.case.removeprefix(f"{self.dataset}/").replace("/", "_")

    @property
    def fit(self) -> Fit:
        """How its slices were resized."""
        settings = self.store.settings
        return Fit(self.shape, settings.size, settings.resize)

    def image(self) -> NDArray[np.uint8]:
        """The volume (z, y, x) in its own geometry. Resizing loses a little; see ``Fit.restore_images``."""
        slices = self.fit.restore_images(self.store.read_slices(self.rows.start, self.rows.stop))
        return np.ascontiguousarray(untake_view(slices, self.view))

    def labels(self) -> NDArray[Any]:
        """Its label map (z, y, x), exact where slices were not made smaller."""
        masks = self.fit.restore_masks(self.store.read_masks(self.rows.start, self.rows.stop))
        return np.ascontiguousarray(untake_view(masks, self.view))


def stored_runs(
    store: Store,
    datasets: Collection[str] = (),
    splits: Collection[str] = (),
    *,
    straight: bool = False,
) -> Iterator[StoredRun]:
    """The store's runs in order, of the chosen datasets and splits; an empty choice takes all.

    Each lies where its source lies; with ``straight``, and in rows of a store that did not keep it, along the axes
    of the world, its first slice in place and the other two coordinates of its first voxel 0.
    """
    index = SampleIndex.of([store.index])
    placed = {} if straight else _affines(store)
    wanted = set(index.where(dataset=datasets, split=splits)[:].tolist())
    for run in index.runs:
        if run.start not in wanted:
            continue
        row = store.index.slice(run.start, 1).to_pylist()[0]
        yield StoredRun(
            store,
            row["dataset"],
            row["case"],
            row["rendition"],
            row["view"],
            row["split"],
            run,
            tuple(row["spacing"]),
            tuple(row["shape"]),
            _straight(row) if (affine := placed.get(row["case"])) is None else np.array(affine, np.float64),
        )


def unplaced(store: Store, runs: Sequence[StoredRun]) -> list[str]:
    """Return a line on the cases of which the store did not keep where they lie, if there are any."""
    placed = _affines(store)
    lost = [case for case in dict.fromkeys(run.case for run in runs) if placed.get(case) is None]
    if not lost:
        return []
    return [
        f"{len(lost)} cases, such as {lost[0]}, are written straight: the store was built before stores kept where a "
        "case lies; build it anew to have them lie on their sources"
    ]


def _affines(store: Store) -> dict[str, list[list[float]] | None]:
    cases = store.cases
    return dict(zip(cases["case"].to_pylist(), cases["affine"].to_pylist(), strict=True))


def _straight(row: Mapping[str, Any]) -> NDArray[np.float64]:
    affine = np.zeros((4, 4))
    for axis in range(3):
        affine[2 - axis, axis] = row["spacing"][axis]
    affine[2 - AXES[row["view"]], 3] = row["z_mm"]
    affine[3, 3] = 1
    return affine


def primary(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """One run for each case and rendition: that of the first view, since every view shows the whole volume."""
    found: dict[tuple[str, str], StoredRun] = {}
    for run in runs:
        found.setdefault((run.case, run.rendition), run)
    return list(found.values())


def showing_all(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Return the runs of one case whose masks, laid together, show all classes: one that does so alone, or all."""
    store, dataset = runs[0].store, runs[0].dataset
    every = len(store.class_table.of_dataset(dataset))
    whole = [run for run in runs if len(store.class_table.shown(dataset, run.rendition)) == every]
    return whole[:1] or list(runs)


def empty_folder(out: Path) -> None:
    """Make ``out``. Raises ExportError when it holds anything: two exports in one folder cannot be told apart."""
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        msg = f"{out} is not empty; give an --out that is"
        raise ExportError(msg)
