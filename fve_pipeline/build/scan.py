"""A facts-only pass over raw cases: headers and label maps are read, no pixels, and nothing is prepared.

What `fve coreset` needs to choose cases before anything is built.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fve_pipeline.build.cases import Dataset, expand_datasets, find_jobs
from fve_pipeline.build.fingerprints import Shelf, ShelfWriter, fingerprint_of
from fve_pipeline.build.prepare.facts import Failure
from fve_pipeline.build.prepare.job import PrepareJob, PrepareSettings, hash_sources, source_stats
from fve_pipeline.build.prepare.labels import case_labels
from fve_pipeline.build.prepare.roster import class_table_of, describe_dataset
from fve_pipeline.build.splits import split_of
from fve_pipeline.errors import BuildError, FveError
from fve_pipeline.files.atomic import sweep_partials, write_whole
from fve_pipeline.runtime.executor import Executor, Task
from fve_pipeline.runtime.faults import is_environment_fault
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.store.tables import CASES_SCHEMA
from fve_pipeline.volume import read_header

__all__ = ["SCAN", "SCAN_SCHEMA", "ScanSummary", "read_scan", "scan_case", "scan_datasets"]

SCAN = "scan.json"

_UNKNOWN = {
    "labels_sha256",
    "pixels_sha256",
    "views",
    "quantiles",
    "gradient_energy",
    "decision",
    "recipe",
    "n_samples",
}
# The columns of a store's cases table that can be known without reading pixels.
_KNOWN = [field for field in CASES_SCHEMA if field.name not in _UNKNOWN]
# And the hash of an image's files and of what is shown of them: equal ones are a duplicate case.
SCAN_SCHEMA = pa.schema([*_KNOWN, ("shown_sha256", pa.string())])


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """What a scan found. ``failures`` are cases that a build would refuse, too."""

    out: str
    cases: int
    content_id: str
    failures: tuple[Failure, ...]


def scan_datasets(
    datasets: Sequence[Dataset],
    out: Path,
    executor: Executor,
    progress: Progress,
    *,
    seed: int,
    val_fraction: float,
    test_fraction: float,
    hashes: bool,
) -> ScanSummary:
    """Read the facts of every case and write ``cases.parquet``, ``classes.parquet`` and ``scan.json``.

    Splits are those that a build with the same seed and fractions gives. With ``hashes`` the image files are
    read, hashed and fingerprinted, so that duplicates are found; without, ``source_sha256`` and ``shown_sha256`` are "".

    Raises BuildError when no case can be read or ``out`` holds something else.
    """
    if out.exists() and not (out / SCAN).is_file() and any(out.iterdir()):
        msg = f"{out} is not empty and holds no scan: name another folder"
        raise BuildError(msg)
    found = expand_datasets(datasets)
    jobs = find_jobs(found, Path(), PrepareSettings())
    progress.stage("scan", len(jobs), "cases")
    rows: dict[str, dict[str, Any]] = {}
    failures: dict[str, Failure] = {}
    tasks = (Task(f"scan {job.case.id}", (job, hashes), _predicted_bytes(job)) for job in jobs)
    with tempfile.TemporaryDirectory(prefix="fve-scan-") as made:
        with ShelfWriter(Path(made)) as shelf:
            for task, result in executor.run(scan_case, tasks):
                progress.advance()
                case = task.args[0].case
                if isinstance(result, Failure):
                    failures[case.id] = result
                    progress.note(f"{case.id}: {result.reason}")
                    continue
                row, planes = result
                split = case.split or split_of(case.subject, seed, val_fraction, test_fraction)
                rows[case.id] = row | {"split": split}
                if planes is not None:
                    shelf.add(case.id, planes)
            shelf.finish([job.case.id for job in jobs])
        if not rows:
            first = next(iter(failures.values()), None)
            msg = f"no case could be scanned{f'; the first, {first.case}: {first.reason}' if first else ''}"
            raise BuildError(msg)
        out.mkdir(parents=True, exist_ok=True)
        (out / SCAN).unlink(missing_ok=True)  # written last: without it there is no scan
        Shelf.move(Path(made), out, keep=hashes)
    ordered = [rows[job.case.id] for job in jobs if job.case.id in rows]
    cases = pa.Table.from_pylist(ordered, schema=SCAN_SCHEMA)
    classes = class_table_of(describe_dataset(dataset.catalog) for dataset in found).to_arrow()
    content_id = hashlib.sha256(json.dumps(ordered, sort_keys=True).encode()).hexdigest()
    refused = tuple(failures[job.case.id] for job in jobs if job.case.id in failures)
    sweep_partials(out)
    for name, table in (("cases", cases), ("classes", classes)):
        with write_whole(out / f"{name}.parquet") as file:
            pq.write_table(table, file, compression="zstd")
    document = {
        "content_id": content_id,
        "seed": seed,
        "val_fraction": val_fraction,
        "test_fraction": test_fraction,
        "hashes": hashes,
        "failures": [failure.model_dump() for failure in refused],
    }
    with write_whole(out / SCAN) as file:
        file.write(json.dumps(document, indent=1).encode())
    return ScanSummary(str(out), len(ordered), content_id, refused)


def read_scan(folder: Path) -> tuple[pa.Table, pa.Table, str]:
    """(cases, classes, content id) of a scan."""
    document = json.loads((folder / SCAN).read_text())
    cases, classes = (pq.read_table(folder / f"{name}.parquet") for name in ("cases", "classes"))
    return cases, classes, document["content_id"]


def scan_case(job: PrepareJob, hashes: bool) -> tuple[dict[str, Any], NDArray[np.uint8] | None] | Failure:
    """One row of the cases table without its split, with the fingerprint where ``hashes``; or why it cannot be used."""
    try:
        return _scan(job, hashes)
    except FveError as error:
        reason = str(error)
    except Exception as error:
        if is_environment_fault(error):
            raise
        reason = f"{type(error).__name__}: {error}"
    reason = reason.replace(f"{job.root.rstrip('/')}/", "")
    return Failure(case=job.case.id, dataset=job.case.dataset, stage="scan", reason=reason)


def _scan(job: PrepareJob, hashes: bool) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
    case, root = job.case, Path(job.root)
    first = case.renditions[0].image or case.image
    header = read_header(root / first, series=case.series, member=case.member)
    labels = case_labels(job, header, partial(deque, maxlen=0))
    source, shown = "", ""
    planes = fingerprint_of(job) if hashes else None
    if hashes:
        source, _ = hash_sources(job)
        how = [[r.window, r.channel, bool(r.image)] for r in case.renditions]
        shown = hashlib.sha256(json.dumps([source, how, case.scaled]).encode()).hexdigest()
    row = {
        "case": case.id,
        "dataset": case.dataset,
        "subject": case.subject,
        "modality": case.modality,
        "source": case.image,
        "source_sha256": source,
        "source_bytes": sum(stat.size for stat in source_stats(job)),
        "labels": [label.path for label in case.labels],
        "shape": list(header.shape),
        "spacing": [float(value) for value in header.spacing],
        "affine": header.affine.tolist(),
        "orientation": header.orientation,
        "renditions": [rendition.name for rendition in case.renditions],
        "class_ids": [found.class_id for found in labels.classes],
        "class_voxels": [found.voxels for found in labels.classes],
        "class_extent": [list(found.extent) for found in labels.classes],
        "class_centroid": [list(found.centroid) for found in labels.classes],
        "shown_sha256": shown,
        "resampled_labels": labels.resampled,
        "notes": list(labels.notes),
    }
    return row, planes


def _predicted_bytes(job: PrepareJob) -> int:
    """Peak memory of reading a case's labels: the file's values in any type, ids, and the mask."""
    case = job.case
    try:
        first = case.renditions[0].image or case.image
        header = read_header(Path(job.root) / first, series=case.series, member=case.member)
    except FveError:
        return 0
    return int(np.prod(header.shape)) * (8 + 8 + 2 + 2 + 1) + (64 << 20)


def summary_dict(summary: ScanSummary) -> dict[str, Any]:
    """For ``--json``."""
    return asdict(summary) | {"failures": [failure.model_dump() for failure in summary.failures]}
