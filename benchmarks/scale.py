"""Does the scheduler stay flat? The two maps over many cases, with a fake reader and a fake writer.

    python benchmarks/scale.py --cases 200000

Every case becomes a task of the first map and every shard one of the second, through the same executor and
the same plan as a build, in batches as for ``--as-for`` workers of which only ``--workers`` are there; only the work
inside is left out. Scheduler, workers and client are processes of their own, as on a cluster. Prints seconds a thousand
tasks and the memory of scheduler and client, as they go.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from fve_pipeline.build.encode.plan import PlanSettings, ShardPlan, plan_runs, plan_shards
from fve_pipeline.build.prepare.facts import CaseFacts, SourceStat
from fve_pipeline.build.prepare.journal import FactsBook
from fve_pipeline.imaging.statistics import ClassFacts
from fve_pipeline.runtime.executor import Executor, Task, cluster

SETTINGS = PlanSettings("paper", False, 0, 0.1, 0.0, 85)
# What benchmarks/build.py measured on one core for a CT of 100x512x512, and for 85 slices of 512².
CASE_SECONDS, SHARD_SECONDS = 0.35, 0.16


def fake_case(number: int) -> CaseFacts:
    """Facts of a case that was never read: 60 to 139 slices of 512²."""
    name = f"fake/case_{number:06d}"
    digest = hashlib.sha256(name.encode()).hexdigest()
    return CaseFacts(
        case=name,
        dataset="fake",
        subject=f"fake/{number}",
        modality="CT",
        split=None,
        fingerprint=digest,
        group=f"fake/{digest[:16]}",
        source=f"{name}.nii.gz",
        source_sha256=digest,
        source_bytes=20_000_000,
        labels=(f"{name}_seg.nii.gz",),
        labels_sha256=(digest,),
        stats=(SourceStat(path=name, size=20_000_000, mtime_ns=number),),
        shape=(60 + number % 80, 512, 512),
        spacing=(2.5, 0.8, 0.8),
        affine=((0.0, 0.0, 0.8, 0.0), (0.0, 0.8, 0.0, 0.0), (2.5, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)),
        orientation="LPS",
        renditions=("soft_tissue",),
        classes=tuple(
            ClassFacts(class_id=i, voxels=1000 * i, extent=(50.0, 60.0, 70.0), centroid=(0.5, 0.5, 0.5))
            for i in range(1, 16)
        ),
        pixels_sha256=digest,
        quantiles=(0.0, 0.0, 3.0, 90.0, 140.0, 200.0, 255.0),
        gradient_energy=40.0,
        resampled_labels=False,
        decision="soft_tissue: window 400/40",
        notes=(),
        recipe="{}",
    )


def fake_shard(plan: ShardPlan) -> None:
    """A shard that is never written."""


@contextlib.contextmanager
def processes(workers: int) -> Iterator[tuple[str, psutil.Process]]:
    """Give the address of a scheduler of its own process, with as many workers, and that process."""
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        file = Path(folder, "scheduler.json")
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
        dask = [sys.executable, "-m", "dask"]
        ours = ["--scheduler-file", str(file), "--no-dashboard"]
        stack.callback(lambda: [one.wait(20) for one in started])
        stack.callback(lambda: [one.terminate() for one in started])
        started.append(subprocess.Popen([*dask, "scheduler", "--port", "0", *ours], **quiet))
        started.append(
            subprocess.Popen([*dask, "worker", "--nworkers", str(workers), "--nthreads", "1", *ours], **quiet)
        )
        while not file.exists():
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        yield address, psutil.Process(started[0].pid)


class Imagined(Executor):
    """An executor that hands out as for more workers than there are."""

    as_for = 1

    @property
    def workers(self) -> int:
        return self.as_for


def run(
    name: str,
    executor: Executor,
    scheduler: psutil.Process,
    function: Callable[..., Any],
    tasks: Iterator[Task],
    count: int,
    keep: Callable[[Any], None],
) -> list[dict[str, float]]:
    """Run a map; note the rate and the memory after each tenth of it."""
    client = psutil.Process()
    rows = []
    first = started = time.perf_counter()
    step = max(1, count // 10)
    for done, (_, result) in enumerate(executor.run(function, tasks, count), 1):
        keep(result)
        if done % step == 0:
            now = time.perf_counter()
            row = {
                "tasks": done,
                "seconds_per_1000": round(1000 * (now - started) / step, 3),
                "client_mb": round(client.memory_info().rss / 1e6, 1),
                "scheduler_mb": round(scheduler.memory_info().rss / 1e6, 1),
            }
            rows.append(row)
            print(
                f"{name:8} {done:>9,} tasks  {row['seconds_per_1000']:6.2f} s a thousand  "
                f"{row['client_mb']:7.1f} MB client  {row['scheduler_mb']:7.1f} MB scheduler",
                flush=True,
            )
            started = now
    print(f"{name:8} {count:>9,} tasks  {count / (time.perf_counter() - first):,.0f} a second over all")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--as-for", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    Imagined.as_for = options.as_for
    with (
        processes(options.workers) as (address, scheduler),
        cluster(memory=options.as_for << 30, scheduler=address) as there,
    ):
        executor = Imagined(there._client, there.memory)
        cases = (Task(f"prepare {i}", (i,), 1 << 20, CASE_SECONDS) for i in range(options.cases))
        book = FactsBook()
        prepared = run(
            "prepare",
            executor,
            scheduler,
            fake_case,
            cases,
            options.cases,
            lambda facts: book.update({facts.case: facts}),
        )
        started = time.perf_counter()
        runs = plan_runs(book.values(), SETTINGS)
        shards = list(plan_shards(runs, SETTINGS.shard_samples))
        planned = time.perf_counter() - started
        print(
            f"plan     {runs[-1].first_row + runs[-1].length:>9,} samples in {len(shards):,} shards, {planned:.1f} s"
        )
        tasks = (Task(f"encode {shard.shard}", (shard,), 1 << 20, SHARD_SECONDS) for shard in shards)
        encoded = run("encode", executor, scheduler, fake_shard, tasks, len(shards), lambda _: None)
    if options.json:
        print(json.dumps({"prepare": prepared, "plan_seconds": planned, "encode": encoded}))


if __name__ == "__main__":
    main()
