"""Does the scheduler stay flat? The two maps over many cases, with a fake reader and a fake writer.

    python benchmarks/scale.py --cases 200000

Every case becomes a task of the first map and every shard one of the second, through the same executor and
the same plan as a build; only the work inside is left out. Prints seconds a thousand tasks and the memory of
the process that holds scheduler and client, as they go.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil

from fve_pipeline.build.encode.plan import PlanSettings, ShardPlan, plan_runs, plan_shards
from fve_pipeline.build.prepare.facts import CaseFacts, SourceStat
from fve_pipeline.build.prepare.journal import FactsBook
from fve_pipeline.imaging.statistics import ClassFacts
from fve_pipeline.runtime.executor import Executor, Task, cluster

SETTINGS = PlanSettings("paper", False, 0, 0.1, 0.0, 85)


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


def run(
    name: str,
    executor: Executor,
    function: Callable[..., Any],
    tasks: Iterator[Task],
    step: int,
    keep: Callable[[Any], None],
) -> list[dict[str, float]]:
    """Run a map; note the rate and the memory every ``step`` tasks."""
    process = psutil.Process()
    rows = []
    started = time.perf_counter()
    for done, (_, result) in enumerate(executor.run(function, tasks), 1):
        keep(result)
        if done % step == 0:
            now = time.perf_counter()
            row = {
                "tasks": done,
                "seconds_per_1000": round(1000 * (now - started) / step, 3),
                "memory_mb": round(process.memory_info().rss / 1e6, 1),
            }
            rows.append(row)
            print(
                f"{name:8} {done:>9,} tasks  {row['seconds_per_1000']:6.2f} s a thousand  "
                f"{row['memory_mb']:8.1f} MB scheduler and client",
                flush=True,
            )
            started = now
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    step = max(1, options.cases // 10)
    with cluster(workers=options.workers, memory=4 << 30) as executor:
        cases = (Task(f"prepare {i}", (i,), 1 << 20) for i in range(options.cases))
        book = FactsBook()
        prepared = run(
            "prepare", executor, fake_case, cases, step, lambda facts: book.update({facts.case: facts})
        )
        started = time.perf_counter()
        runs = plan_runs(book.values(), SETTINGS)
        shards = list(plan_shards(runs, SETTINGS.shard_samples))
        planned = time.perf_counter() - started
        print(
            f"plan     {runs[-1].first_row + runs[-1].length:>9,} samples in {len(shards):,} shards, {planned:.1f} s"
        )
        tasks = (Task(f"encode {shard.shard}", (shard,), 1 << 20) for shard in shards)
        encoded = run("encode", executor, fake_shard, tasks, max(1, len(shards) // 10), lambda _: None)
    if options.json:
        print(json.dumps({"prepare": prepared, "plan_seconds": planned, "encode": encoded}))


if __name__ == "__main__":
    main()
