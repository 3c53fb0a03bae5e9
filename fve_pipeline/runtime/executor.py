"""Dask, and nothing else that knows it: a cluster, tasks admitted by their bytes, results as they come.

A task is a function call that reads and writes its own files and returns a few kilobytes. No data moves
between tasks, so the scheduler holds only what is in flight, however many tasks there are. Short tasks travel in
batches (see ``batches``), since handing out costs the scheduler the same whatever it hands out.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import Any, NoReturn, TypeVar

from fve_pipeline.errors import BuildError, MachineError
from fve_pipeline.runtime.batches import Task, TaskBatch, batches, run_batch
from fve_pipeline.runtime.faults import describe_fault, is_environment_fault

__all__ = ["WORKER_BYTES", "Executor", "Task", "cluster", "memory_budget"]

R = TypeVar("R")

#: What a worker process takes with its libraries before it does anything: with less it is ended as it is started.
WORKER_BYTES = 400 * 10**6

# Batches in flight for each worker thread: one runs, another waits so that it never idles.
_QUEUED_PER_WORKER = 2

# What a scheduler on a busy login node may take to answer.
_ANSWERS_WITHIN = "20s"

# One thread a library inside a worker: the workers are the parallelism.
_SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "BLOSC_NTHREADS": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
}

# A worker's volumes come and go at nearly one size: it keeps their pages, which the system would have to zero again
# for each, instead of giving them back (Dask's own default trims at 64 kB). Its peak stays that of its largest task.
_KEPT_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "MALLOC_TOP_PAD_": str(64 << 20),
}

_DASK_CONFIG: dict[str, Any] = {
    # Workers keep no data, so there is nothing to spill or to pause for; the nanny still ends a worker
    # that outgrows the whole budget, which names the case instead of taking the machine down.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.98,
    "distributed.scheduler.allowed-failures": 2,
    "distributed.admin.log-length": 1000,
    "distributed.admin.low-level-log-length": 100,
    "distributed.nanny.pre-spawn-environ": {
        **_SINGLE_THREADED,
        **_KEPT_MEMORY,
        # A worker's failure is told once, by the driver.
        "DASK_LOGGING__DISTRIBUTED": "critical",
    },
    # Loading a case can hold the interpreter for a while; that is not news.
    "distributed.admin.tick.limit": "1h",
}


def memory_budget(fraction: float = 0.8) -> int:
    """Bytes that a build may use by default: a share of what this machine, or its container, has."""
    from distributed.system import MEMORY_LIMIT

    return round(float(MEMORY_LIMIT) * fraction)


class Executor:
    """Runs tasks on a Dask client with bounded submission."""

    def __init__(self, client: Any, memory: int) -> None:
        self._client = client
        self.memory = memory

    @property
    def dashboard(self) -> str:
        """Address of Dask's dashboard; empty where bokeh, which draws it, is not installed."""
        return str(self._client.dashboard_link) if find_spec("bokeh") else ""

    @property
    def workers(self) -> int:
        """Worker threads that there are, at least 1."""
        return max(1, int(sum(self._client.nthreads().values())))

    def run(
        self, function: Callable[..., R], tasks: Iterable[Task], count: int = 0
    ) -> Iterator[tuple[Task, R]]:
        """Call ``function(*task.args)`` for each task on the workers; yield (task, result) as they end.

        Tasks whose seconds are predicted travel in batches, of a size that follows from ``count``, how many there are.
        Batches are admitted while their predicted bytes fit the budget; one that is larger than the budget
        runs alone. Of a batch that ended early, by an exception or with its worker again and again, each task that is left
        runs once more with nothing beside it: so a task that kills its workers is known from those that only died with
        them. Raises BuildError when the machine and not the data is at fault: a worker killed again and again, no
        disk, no memory. Any exception that a task lets through ends the run.
        """
        from distributed import as_completed

        pending: dict[Any, TaskBatch] = {}
        # Results come with the completions, in batches: asking for each costs a round trip more.
        finished = as_completed(with_results=True, raise_errors=False)
        held = started = 0
        again: list[TaskBatch] = []  # single tasks, to be run with nothing beside them
        waiting = batches(tasks, self.workers, count)
        upcoming = next(waiting, None)

        def start(batch: TaskBatch) -> None:
            nonlocal held, started
            # A task may be run twice, and its first run may not be forgotten yet: keys are never used again.
            key = (function.__name__, batch.name, started)
            future = self._client.submit(run_batch, function, batch.args, pure=False, key=key)
            pending[future.key] = batch
            held += batch.nbytes
            started += 1
            finished.add(future)

        try:
            while pending or again or upcoming is not None:
                isolated = bool(again) and not pending
                if isolated:
                    start(again.pop())
                elif not again and upcoming and self._admits(upcoming, held, len(pending)):
                    start(upcoming)
                    upcoming = next(waiting, None)
                    # Results are taken as they come: what thousands of batches found is not lost with this process.
                    if not finished.has_ready():
                        continue
                future, answer = next(finished)
                batch = pending.pop(future.key)
                held -= batch.nbytes
                ended = future.status == "finished"
                if (
                    not ended
                    and len(batch.tasks) == 1
                    and (isolated or started == 1 or not _was_lost(future))
                ):
                    self._fail(future, batch.tasks[0])
                results = pickle.loads(answer) if ended else []
                future.release()
                yield from zip(batch.tasks, results, strict=False)
                again += batch.singly(len(results))
        finally:
            # Ctrl-C, an error, or a caller that stops early: nothing goes on behind its back.
            with contextlib.suppress(Exception):
                self._client.cancel(list(finished.futures), force=True)

    def _admits(self, batch: TaskBatch, held: int, in_flight: int) -> bool:
        if in_flight == 0:
            return True
        return in_flight < self.workers * _QUEUED_PER_WORKER and held + batch.nbytes <= self.memory

    def _fail(self, future: Any, task: Task) -> NoReturn:
        """Raise what ended a task: as a BuildError when it is the machine's fault."""
        from distributed.scheduler import KilledWorker

        error = future.exception()
        if isinstance(error, KilledWorker):
            msg = (
                f"{task.name}: the workers that ran it died {error.allowed_failures + 1} times. It was predicted "
                f"to need {task.nbytes / 2**30:.1f} GiB of a budget of {self.memory / 2**30:.1f} GiB; most likely "
                "it ran out of memory. Run again with fewer --workers or, on a machine that has it, with more --memory: "
                "what is finished is kept."
            )
            raise BuildError(msg) from error
        if is_environment_fault(error):
            raise MachineError(f"{task.name}: {describe_fault(error)}") from error
        raise error


def _was_lost(future: Any) -> bool:
    """Whether workers died with a task on them: with whichever they had, by whoever's fault."""
    from distributed.scheduler import KilledWorker

    return isinstance(future.exception(), KilledWorker)


@contextlib.contextmanager
def cluster(
    workers: int | None = None, memory: int | None = None, scheduler: str | None = None, gpus: int = 0
) -> Iterator[Executor]:
    """Yield an executor on a local cluster of one-threaded worker processes, or a running one at ``scheduler``.

    ``memory`` is the budget in bytes over all workers. With ``gpus``, there are as many local workers, and each
    sees one of them; a running cluster's workers see what they were started with. Raises BuildError when the
    scheduler does not answer or has no workers.
    """
    import dask
    from distributed import Client, LocalCluster

    budget = memory or memory_budget()
    with dask.config.set(_DASK_CONFIG):
        if scheduler is not None:
            yield from _remote(scheduler, budget)
            return
        count = workers or gpus or os.cpu_count() or 1
        with (
            _environment_restored(),
            LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=True,
                memory_limit=budget,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.ERROR,
            ) as local,
            Client(local) as client,
        ):
            if gpus:
                client.run(_take_gpu, gpus)
            yield Executor(client, budget)


@contextlib.contextmanager
def _environment_restored() -> Iterator[None]:
    """Undo what Dask leaves behind.

    It sets its workers' variables here, for them to inherit, and what this process starts later, a trainer or a
    loader's workers, would inherit them too: one thread a library, and freed memory kept.
    """
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _take_gpu(gpus: int, dask_worker: Any) -> None:
    """Leave a worker one GPU to see, before it has looked for any. Dask passes the worker by this name."""
    os.environ["CUDA_VISIBLE_DEVICES"] = str(int(dask_worker.name) % gpus)


def _remote(scheduler: str, budget: int) -> Iterator[Executor]:
    from distributed import Client

    try:
        client = Client(scheduler, timeout=_ANSWERS_WITHIN)
    except (OSError, TimeoutError, ValueError) as error:
        msg = (
            f"no Dask scheduler answers at {scheduler!r} ({error}). Start one with `dask scheduler` and workers "
            "with `dask worker ADDRESS --nthreads 1`, or leave out --scheduler to run on this machine."
        )
        raise BuildError(msg) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=30)
        except TimeoutError as error:
            msg = f"the Dask scheduler at {scheduler!r} has no workers. Start some: `dask worker {scheduler} --nthreads 1`."
            raise BuildError(msg) from error
        yield Executor(client, budget)
