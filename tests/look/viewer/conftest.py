"""One small cohort as a store of either storage, of different orders."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from fve_pipeline.runtime.executor import Executor


@pytest.fixture(scope="session")
def both_stores(tmp_path_factory: pytest.TempPathFactory, executor: Executor) -> Path:
    """A folder with ``encoded.zarr`` of order 1 and ``slices.zarr``, built from the same three cases."""
    root = tmp_path_factory.mktemp("viewer")
    found = tiny.datasets(tiny.write_cohort(root / "cohort", 3))
    for storage in ("encoded", "slices"):
        settings = tiny.settings(storage=storage)
        tiny.build(found, root / f"{storage}.zarr", executor, work=root / "work", settings=settings)
    return root
