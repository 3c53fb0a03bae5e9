"""Z-scored images: half of a brain lies below zero, and is not to become black unseen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from fve_pipeline.build.cases import Dataset
from fve_pipeline.build.pipeline import build
from fve_pipeline.build.request import BuildRequest
from fve_pipeline.build.settings import settings_for
from fve_pipeline.catalog import discover
from fve_pipeline.catalog.findings import look_problems
from fve_pipeline.catalog.folder import from_folder
from fve_pipeline.catalog.look import look_at
from fve_pipeline.imaging.intensity import LOST
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.runtime.progress import Silent
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.reader import open_store


def cases(root: Path, below: float) -> None:
    """Two scans in air of 0, with a share of the body below zero."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        scan = np.zeros((4, 20, 20), np.float32)
        body = rng.uniform(0.1, 3, (4, 10, 10)).astype(np.float32)
        body[rng.random(body.shape) < below] *= -1
        scan[:, 5:15, 5:15] = body
        labels = (scan > 1).astype(np.uint8)
        for folder, array in (("images", scan), ("labels", labels)):
            (root / folder).mkdir(exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(array), str(root / folder / f"{name}.nii.gz"))


@pytest.mark.parametrize(("below", "over"), [(0.4, "all"), (0.002, None), (0.0, None)])
def test_a_draft_takes_percentiles_over_all_where_the_body_is_below_zero(
    tmp_path: Path, below: float, over: str | None
) -> None:
    cases(tmp_path, below)
    draft = from_folder(tmp_path)
    assert draft.catalog().percentiles_over == over
    assert ("percentiles over all" in draft.toml()) == (over == "all")


@pytest.mark.parametrize(
    ("below", "over", "lost"), [(0.4, None, True), (0.4, "all", False), (0.002, None, False)]
)
def test_a_build_says_what_is_lost(
    tmp_path: Path, executor: Executor, below: float, over: str | None, lost: bool
) -> None:
    cases(tmp_path, below)
    catalog = from_folder(tmp_path, modality="MR").catalog().model_copy(update={"percentiles_over": over})
    told: list[str] = []
    request = BuildRequest(
        datasets=[Dataset(catalog, tmp_path)],
        work=tmp_path / "work",
        settings=settings_for([Dataset(catalog, tmp_path)], size=32, val_fraction=0, test_fraction=0),
        out=str(tmp_path / "s.zarr"),
    )
    progress = Silent()
    progress.note = told.append  # type: ignore[method-assign]
    build(request, Resources(executor, progress))
    notes = open_store(tmp_path / "s.zarr").cases.column("notes").to_pylist()
    assert [any(LOST in note for note in of_case) for of_case in notes] == [lost, lost]
    assert (
        bool([text for text in told if text.startswith("2 cases lose what lies below 0: image: 4")]) == lost
    )


def test_check_says_what_is_lost(tmp_path: Path) -> None:
    cases(tmp_path, 0.4)
    catalog = from_folder(tmp_path).catalog()
    looks = [look_at(case, tmp_path) for case in discover(catalog, tmp_path)]
    assert [problem.kind for problem in look_problems(catalog, looks)] == []
    positive = catalog.model_copy(update={"percentiles_over": None})
    problems = look_problems(positive, looks)
    assert [problem.kind for problem in problems] == ["values below zero"] * 2
    assert "lie below 0 and become black" in problems[0].message
    windowed = [
        look_at(case, tmp_path)
        for case in discover(positive.model_copy(update={"window": "400/40"}), tmp_path)
    ]
    assert look_problems(positive, windowed) == []
