"""One small cohort as a store of either storage, of different orders."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny

from fve_pipeline.look.viewer import StoreSlices, serve
from fve_pipeline.look.viewer.server import Viewer
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.store.reader import open_store


@pytest.fixture(scope="session")
def both_stores(tmp_path_factory: pytest.TempPathFactory, executor: Executor) -> Path:
    """A folder with ``encoded.zarr`` of order 1 and ``slices.zarr``, built from the same three cases."""
    root = tmp_path_factory.mktemp("viewer")
    found = tiny.datasets(tiny.write_cohort(root / "cohort", 3))
    for storage in ("encoded", "slices"):
        settings = tiny.settings(storage=storage)
        tiny.build(found, root / f"{storage}.zarr", executor, work=root / "work", settings=settings)
    return root


@pytest.fixture(scope="module")
def viewer(both_stores: Path) -> Iterator[Viewer]:
    """The viewer of ``slices.zarr``, answering from a thread."""
    with serve(StoreSlices(open_store(both_stores / "slices.zarr"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
