"""Small stores of the demo's cohort, built as everyone's are: encoded and lazy, of the same samples."""

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
def stores(tmp_path_factory: pytest.TempPathFactory, executor: Executor) -> dict[str, Path]:
    """``encoded`` and ``slices`` of order 1, ``third`` encoded with order 3 and mirrored ends; S = 32."""
    root = tmp_path_factory.mktemp("loading")
    make_cohort(root / "cohort", cases_per_kind=3, size=32)
    datasets = [Dataset(load_catalog(name), root / "cohort") for name in CATALOGS]
    built = {}
    for name, changes in {
        "encoded": {"storage": "encoded"},
        "slices": {"storage": "slices"},
        "third": {"storage": "encoded", "order": 3, "boundary": "mirror"},
    }.items():
        built[name] = root / f"{name}.zarr"
        settings = settings_for(datasets, size=32, shard_samples=50, val_fraction=0.3, **changes)
        tiny.build(datasets, built[name], executor, work=root / "work", settings=settings)
    return built
