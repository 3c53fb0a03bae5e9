"""A store's samples as the volumes that they came from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
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

__all__ = ["StoredRun", "empty_folder", "primary", "stored_runs"]


@dataclass(frozen=True)
class StoredRun:
    """All slices of one case in one rendition and view: ``rows`` of the store.

    ``spacing`` is (z, y, x) in mm, ``first`` the LPS position in mm of the first slice along the view's axis,
    ``shape`` the (H, W) of a slice before it was padded and resized.
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
    first: float

    @property
    def name(self) -> str:
        """The case's name within its dataset, fit for a file's name."""
        return self.case.removeprefix(f"{self.dataset}/").replace("/", "_")

    @property
    def fit(self) -> Fit:
        """How its slices were resized."""
        settings = self.store.settings
        return Fit(self.shape, settings.size, settings.resize)

    @property
    def affine(self) -> NDArray[np.float64]:
        """Index (z, y, x, 1) to LPS mm. The store keeps the position along the view's axis only; 0 elsewhere."""
        affine = np.zeros((4, 4))
        for axis in range(3):
            affine[2 - axis, axis] = self.spacing[axis]
        affine[2 - AXES[self.view], 3] = self.first
        affine[3, 3] = 1
        return affine

    def image(self) -> NDArray[np.uint8]:
        """The volume (z, y, x) in its own geometry. Resizing loses a little; see ``Fit.restore_images``."""
        slices = self.fit.restore_images(self.store.read_slices(self.rows.start, self.rows.stop))
        return np.ascontiguousarray(untake_view(slices, self.view))

    def labels(self) -> NDArray[Any]:
        """Its label map (z, y, x), exact where slices were not made smaller."""
        masks = self.fit.restore_masks(self.store.read_masks(self.rows.start, self.rows.stop))
        return np.ascontiguousarray(untake_view(masks, self.view))


def stored_runs(
    store: Store, datasets: Collection[str] = (), splits: Collection[str] = ()
) -> Iterator[StoredRun]:
    """The store's runs in order, of the chosen datasets and splits; an empty choice takes all."""
    index = SampleIndex.of([store.index])
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
            row["z_mm"],
        )


def primary(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """One run for each case and rendition: that of the first view, since every view shows the whole volume."""
    found: dict[tuple[str, str], StoredRun] = {}
    for run in runs:
        found.setdefault((run.case, run.rendition), run)
    return list(found.values())


def empty_folder(out: Path) -> None:
    """Make ``out``. Raises ExportError when it holds anything: two exports in one folder cannot be told apart."""
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        msg = f"{out} is not empty; give an --out that is"
        raise ExportError(msg)
