"""Shared fixtures."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from durations import Recorder, longest_file_first
from quick import leave_out_what_is_slow_to_start

from fve_pipeline.runtime import executor as execution
from fve_pipeline.runtime.executor import Executor, cluster

# Bounds on time would make a busy machine fail tests.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
# Test processes run beside each other, and what is computed in tests is too small to gain from more threads than one:
# set before a library is imported that reads them.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

SHARED = Path(__file__).resolve().parents[2] / "shared"

# A shell starts what it runs in the background deaf to Ctrl-C, and so would be the programs that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--machine-examples",
        type=int,
        default=10,
        help="runs of the state machine over stores (tests/build/test_build_machine.py), of a dozen steps each",
    )
    parser.addoption(
        "--quick",
        action="store_true",
        help="skip what needs Dask, torch or another process (make check)",
    )
    parser.addoption(
        "--record-durations", action="store_true", help="write tests/durations.json (make durations)"
    )


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config.getoption("record_durations")))
    if config.getoption("quick") and config.getoption("dist", "no") == "no":  # not in xdist's own controller
        leave_out_what_is_slow_to_start()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = longest_file_first(items)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real files beside the checkout; tests that want them skip without them."""
    path = SHARED / "data"
    if not path.is_dir():
        pytest.skip("the real data files (../shared/data) are not beside this checkout")
    return path


@pytest.fixture(scope="session")
def golden() -> Path:
    """Numbers that the reference implementation gave; its README says how."""
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def executor() -> Iterator[Executor]:
    """A real local Dask cluster of two worker processes, shared by the tests that build."""
    with cluster(workers=2, memory=4 << 30) as running:
        yield running


@pytest.fixture
def one_cluster(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands that start workers of their own have the suite's instead, which takes a second less each time."""

    @contextlib.contextmanager
    def shared(_workers: Any = None, memory: int | None = None, *_: Any) -> Iterator[Executor]:
        executor._client.run(os.chdir, os.getcwd())
        yield Executor(executor._client, memory or executor.memory)

    monkeypatch.setattr(execution, "cluster", shared)
