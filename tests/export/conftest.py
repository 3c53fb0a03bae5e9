"""A store of all that an export must cope with: renditions, unions, instances, three views, padding."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from fve_pipeline.build.cases import Dataset
from fve_pipeline.build.settings import settings_for
from fve_pipeline.catalog import load_catalog
from fve_pipeline.demo.cohort import make_cohort
from fve_pipeline.runtime.executor import Executor

CATALOGS = ("demo_ct", "demo_npz", "demo_microscopy")


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, executor: Executor) -> tuple[Path, Path]:
    """A store of size 64, larger than every slice, so that masks come back exactly; and its cohort."""
    root = tmp_path_factory.mktemp("export")
    make_cohort(root / "cohort", cases_per_kind=2, size=40)
    datasets = [Dataset(load_catalog(name), root / "cohort") for name in CATALOGS]
    settings = settings_for(datasets, size=64, shard_samples=40, val_fraction=0.4, seed=3)
    tiny.build(datasets, root / "slices.zarr", executor, work=root / "work", settings=settings)
    return root / "slices.zarr", root / "cohort"
