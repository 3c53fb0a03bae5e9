"""The executor: admission by bytes, the machine's faults, and a scheduler and workers of their own."""

from __future__ import annotations

import errno
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny

from fve_pipeline.errors import BuildError
from fve_pipeline.runtime import executor as execution
from fve_pipeline.runtime.executor import Executor, Task, cluster
from fve_pipeline.runtime.faults import is_environment_fault
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.verify import verify


def double(value: int) -> int:
    return 2 * value


def span(seconds: float) -> tuple[float, float]:
    started = time.monotonic()
    time.sleep(seconds)
    return started, time.monotonic()


def variable(name: str) -> str | None:
    return os.environ.get(name)


def no_space() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def die() -> None:
    os._exit(9)


def bug() -> None:
    raise ZeroDivisionError("a mistake of ours")


def tasks(count: int, nbytes: int) -> list[Task]:
    return [Task(f"sleep {i}", (0.05,), nbytes) for i in range(count)]


def test_every_task_comes_back_once(executor: Executor) -> None:
    found = {
        task.name: result
        for task, result in executor.run(double, (Task(f"d{i}", (i,), 1) for i in range(50)))
    }
    assert found == {f"d{i}": 2 * i for i in range(50)}


def test_tasks_larger_than_the_budget_run_alone(executor: Executor) -> None:
    spans = sorted(result for _, result in executor.run(span, tasks(4, executor.memory + 1)))
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def meet(folder: str, name: str) -> bool:
    """Say that this task runs, and wait until another one does."""
    (Path(folder) / name).touch()
    deadline = time.monotonic() + 60
    while len(list(Path(folder).iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(list(Path(folder).iterdir())) == 2


def test_small_tasks_overlap(executor: Executor, tmp_path: Path) -> None:
    pair = [Task(name, (str(tmp_path), name), 1) for name in "ab"]
    assert [result for _, result in executor.run(meet, pair)] == [True, True]


def test_submission_is_bounded(executor: Executor) -> None:
    taken = 0

    def endless() -> Iterator[Task]:
        nonlocal taken
        while True:
            taken += 1
            yield Task(f"endless {taken}", (1,), 1)

    running = executor.run(double, endless())
    for _ in range(5):
        next(running)
    running.close()
    assert taken < 5 + 10 * executor.workers


def test_a_full_disk_stops_the_run_and_says_so(executor: Executor) -> None:
    with pytest.raises(BuildError, match=r"case 7: No space left on device \(ENOSPC\).*machine's fault"):
        list(executor.run(no_space, [Task("case 7", (), 1)]))


def test_a_mistake_of_ours_is_not_hidden(executor: Executor) -> None:
    with pytest.raises(ZeroDivisionError, match="a mistake of ours"):
        list(executor.run(bug, [Task("x", (), 1)]))


def test_workers_that_die_name_the_task() -> None:
    with (
        cluster(workers=1, memory=1 << 30) as alone,
        pytest.raises(BuildError, match=r"case 3: .*fewer --workers or, .* with more --memory"),
    ):
        list(alone.run(die, [Task("case 3", (), 1 << 20)]))


def test_the_environment_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a program starts after a build has its own number of threads again."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "12345")
    before = dict(os.environ)
    with cluster(workers=1, memory=1 << 30) as alone:
        assert [found for _, found in alone.run(variable, [Task("look", ("OMP_NUM_THREADS",), 1)])] == ["1"]
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOSPC, "x"), True),
        (PermissionError(errno.EACCES, "x"), True),
        (ConnectionResetError(), True),
        (FileNotFoundError(errno.ENOENT, "x"), False),
        (ValueError(), False),
    ],
)
def test_whose_fault_it_is(error: Exception, fault: bool) -> None:
    assert is_environment_fault(error) is fault


def test_no_scheduler_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "_ANSWERS_WITHIN", "1s")
    with (
        pytest.raises(BuildError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"),
        cluster(scheduler="tcp://127.0.0.1:9"),
    ):
        pass


def test_a_running_scheduler_with_two_workers(tmp_path: Path) -> None:
    """`dask scheduler` and `dask worker` as processes of their own, as on a user's cluster."""
    root = tiny.write_cohort(tmp_path / "cohort", 4)
    address_file = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    worker = [*dask, "worker", "--scheduler-file", str(address_file), "--nthreads", "1", "--no-dashboard"]
    processes = [
        subprocess.Popen(
            [
                *dask,
                "scheduler",
                "--port",
                "0",
                "--no-dashboard",
                "--host",
                "127.0.0.1",
                "--scheduler-file",
                str(address_file),
            ],
            **quiet,
        )
    ]
    try:
        deadline = time.monotonic() + 60
        while not (address_file.exists() and address_file.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        processes += [subprocess.Popen(worker, cwd=tmp_path, **quiet) for _ in range(2)]
        address = json.loads(address_file.read_text())["address"]
        out = tmp_path / "slices.zarr"
        with cluster(memory=1 << 30, scheduler=address) as executor:
            tiny.build(tiny.datasets(root), out, executor, work=tmp_path / "w")
        assert verify(open_store(out), deep=True) == []
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(30)
