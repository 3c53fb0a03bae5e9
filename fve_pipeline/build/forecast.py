"""What a build would do, from headers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fve_pipeline.build.encode.plan import PlanSettings, case_split, case_views
from fve_pipeline.build.prepare.facts import Failure
from fve_pipeline.build.prepare.job import PrepareJob
from fve_pipeline.errors import FveError
from fve_pipeline.imaging.views import VIEWS
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.runtime.text import printable
from fve_pipeline.runtime.threads import prefetch
from fve_pipeline.store.schema import StoreSettings
from fve_pipeline.volume import read_header

__all__ = ["Forecast", "forecast"]

_THREADS = 8


@dataclass(frozen=True, slots=True)
class Forecast:
    """Sizes of a build. ``raw_bytes`` are the arrays' before compression; ``unreadable`` the cases whose
    header could not be read."""

    cases: int
    samples: int
    shards: int
    raw_bytes: int
    prepared_bytes: int
    unreadable: tuple[Failure, ...]


def forecast(
    jobs: Sequence[PrepareJob], settings: StoreSettings, plan: PlanSettings, progress: Progress
) -> Forecast:
    """Count cases, samples, shards and bytes without reading a voxel."""
    progress.stage("headers", len(jobs), "cases")
    unreadable: list[Failure] = []
    samples = prepared_bytes = 0
    # Threads wait for slow disks together; the headers of fast ones are the interpreter's work, and one's alone.
    for found in prefetch(lambda job: _samples(job, plan), jobs, _THREADS, 8 * _THREADS):
        if isinstance(found, Failure):
            unreadable.append(found)
        else:
            samples += found[0]
            prepared_bytes += found[1]
        progress.advance()
    channels = 3 if settings.storage == "encoded" else 1
    mask_bytes = 2 if settings.mask_dtype == "uint16" else 1
    return Forecast(
        cases=len(jobs) - len(unreadable),
        samples=samples,
        shards=-(-samples // settings.shard_samples),
        raw_bytes=samples * settings.size**2 * (channels + mask_bytes),
        prepared_bytes=prepared_bytes,
        unreadable=tuple(unreadable),
    )


def _samples(job: PrepareJob, plan: PlanSettings) -> tuple[int, int] | Failure:
    """Samples of one case, and bytes of its prepared arrays."""
    case = job.case
    image = case.renditions[0].image or case.image
    try:
        header = read_header(Path(job.root) / image, series=case.series, member=case.member, name=image)
    except FveError as error:
        reason = str(error)
    except OSError as error:
        reason = f"{image}: {error.strerror or error}"
    else:
        views = case_views(header.shape, header.spacing, case_split(case.subject, case.split, plan), plan)
        slices = sum(header.shape[VIEWS.index(view)] for view in views) * len(case.renditions)
        z, y, x = header.shape
        masks = 2 if job.mask_dtype == "uint16" else 1
        return slices, z * y * x * (len(case.renditions) + masks)
    return Failure(case=case.id, dataset=case.dataset, stage="header", reason=printable(reason))
