"""A volume's results on disk: the label map beside a JSON of what was found, each whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.files.atomic import write_whole
from fve_pipeline.imaging.views import take_view
from fve_pipeline.prediction.pictures import Picture
from fve_pipeline.prediction.prompts import Target
from fve_pipeline.prediction.sources import VolumeSource
from fve_pipeline.prediction.volume import Segmentation
from fve_pipeline.volume import Labels, write_labels
from fve_pipeline.volume.challenge_npz import write_segs

__all__ = [
    "findings",
    "finished",
    "merged_where_too_many",
    "report_path",
    "write_apart",
    "write_report",
    "write_result",
    "write_runtimes",
]


def report_path(source: VolumeSource, out: Path) -> Path:
    """Where a source's JSON goes; its label map has the same name with the source's own ending."""
    return out / f"{source.name}.json"


def finished(source: VolumeSource, out: Path, fingerprint: str) -> dict[str, Any] | None:
    """Return the report of an earlier run that did the very same, if all that it wrote is still there."""
    try:
        report = json.loads(report_path(source, out).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(report, dict) or report.get("fingerprint") != fingerprint:
        return None
    folder = report_path(source, out).parent
    name = f"{source.name.rsplit('/', 1)[-1]}{source.ending}"
    apart = [report["classes_apart"]] if "classes_apart" in report else []
    files = report.get("files", [report.get("labels"), *apart])  # earlier versions did not list them
    return report if name in files and all((folder / file).exists() for file in files) else None


def write_result(source: VolumeSource, picture: Picture, labels: NDArray[np.uint16], out: Path) -> Path:
    """Write the label map in the source's own geometry: npz for npz, else a medical format.

    Raises
    ------
    PredictionError
        For ids above 255 in an npz, which the challenge's format cannot hold.
    """
    path = out / f"{source.name}{source.ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if source.ending == ".npz":
        write_segs(path, labels)
    else:
        narrow = labels.astype(np.uint8) if labels.max(initial=0) <= 255 else labels
        write_labels(path, narrow, picture.affine)
    return path


def write_apart(
    source: VolumeSource,
    picture: Picture,
    kept: Labels,
    targets: Sequence[Target],
    out: Path,
    *,
    layers: bool,
) -> tuple[str, list[str]]:
    """Write every target's own mask, and return the name of what was written, and its files.

    A folder ``NAME_classes`` of a file a class, ``ID_WORDS.nii.gz``; or, with ``layers``, a file of that name with a
    layer a class, in the targets' order, which the report tells.
    """
    name = f"{source.name.rsplit('/', 1)[-1]}_classes"
    folder = (out / source.name).parent / name
    masks = (kept.where(place) for place in range(1, len(targets) + 1))
    if layers:
        path = folder.with_name(f"{name}.nii.gz")
        write_labels(path, np.stack([mask.astype(np.uint8) for mask in masks], -1), picture.affine)
        return path.name, [path.name]
    files = []
    for target, mask in zip(targets, masks, strict=True):
        words = "_".join(re.findall(r"[a-z0-9]+", target.name.lower()))[:60]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{target.class_id:05d}_{words}.nii.gz"
        write_labels(path, mask.astype(np.uint8), picture.affine)
        files.append(f"{name}/{path.name}")
    return name, files


def merged_where_too_many(
    source: VolumeSource, found: Segmentation, class_id: int
) -> tuple[NDArray[np.uint16], str | None]:
    """Return what is written of split instances: their map, or their mask with a line that says so.

    The challenge's npz holds uint8, other formats uint16; a number that wraps would join two instances.
    """
    most = 255 if source.ending == ".npz" else 65535
    if found.instances <= most:
        return found.labels, None
    kind = "an npz's uint8 segs" if source.ending == ".npz" else "a label map's uint16"
    note = f"{found.instances} instances, and {kind} tells {most} apart; their merged mask is written as {class_id}"
    return np.where(found.labels > 0, np.uint16(class_id), np.uint16(0)), note


def findings(
    targets: Sequence[Target], found: Segmentation, spacing: tuple[float, float, float], instances: bool
) -> list[dict[str, Any]]:
    """What was found of each target: volume, the slices it is on, how probable it is on each slice.

    Slices count from 0 along the view's LPS axis, as (first, last) runs; ``presence`` has one number a slice.
    """
    millilitres = float(np.prod(spacing)) / 1000
    counts = np.bincount(found.labels.ravel(), minlength=65536)
    rows = []
    for place, target in enumerate(targets):
        mask: NDArray[np.bool_] = found.labels > 0 if instances else found.labels == target.class_id
        voxels = int(counts[1:].sum() if instances else counts[target.class_id])
        row: dict[str, Any] = {
            "id": target.class_id,
            "name": target.name,
            "prompt": target.prompt,
            "voxels": voxels,
            "volume_ml": round(voxels * millilitres, 4),
            "views": {
                view: {
                    "slices": _runs(np.asarray(take_view(mask, view).any(axis=(1, 2)))),
                    "presence": [round(float(p), 4) for p in presence[:, place]],
                }
                for view, presence in found.presence.items()
            },
        }
        if instances:
            row["instances"] = found.instances
        rows.append(row)
    return rows


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Write a report as JSON."""
    _write_text(path, json.dumps(report, indent=1) + "\n")


def write_runtimes(out: Path) -> None:
    """Write ``runtimes.csv``, which ``fve evaluate --runtimes`` reads, from the reports below ``out``.

    Others that share the folder write it, too: whoever writes last looks once more, and so has seen all reports.
    """
    lines: dict[Path, list[Any]] = {}
    while fresh := [path for path in sorted(out.rglob("*.json")) if path not in lines]:
        for path in fresh:
            lines[path] = _runtime(path)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["case", "seconds", "classes"])
        writer.writerows(sorted(line for line in lines.values() if line))
        _write_text(out / "runtimes.csv", text.getvalue())


def _runtime(path: Path) -> list[Any]:
    """Case, seconds and number of classes of a report; nothing for another file."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return [report["case"], f"{report['seconds']:.3f}", len(report["classes"])]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _write_text(path: Path, text: str) -> None:
    with write_whole(path) as file:
        file.write(text.encode())


def _runs(present: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Runs of True as (first, last)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], present, [False])).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]
