"""Predicting many volumes: each on its own, what is done already left alone, what fails named."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from fve_pipeline.bio2vol.network import Volumes
from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.errors import FveError, PredictionError
from fve_pipeline.evaluation.runtimes import Runtime, read_runtimes
from fve_pipeline.files.atomic import sweep_partials
from fve_pipeline.imaging.views import AXES, choose_views
from fve_pipeline.prediction.network import Averaging
from fve_pipeline.prediction.outputs import (
    findings,
    finished,
    merged_where_too_many,
    report_path,
    write_report,
    write_result,
    write_runtimes,
)
from fve_pipeline.prediction.prompts import Target, targets_from_sentences
from fve_pipeline.prediction.settings import SliceSettings
from fve_pipeline.prediction.sources import Intensity, VolumeSource, open_source, source_sha256, together
from fve_pipeline.prediction.volume import predict_volume
from fve_pipeline.runtime.faults import is_environment_fault
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.segmenter.checkpoint import open_segmenter
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.volume.challenge_npz import read_text_prompts

__all__ = ["PREDICT_VERSION", "Failed", "Predictor", "Request", "Shown", "predict_all"]

# Raised whenever the same input, weights and request would give another label map.
PREDICT_VERSION = 3

# The challenge's limit.
_SECONDS_A_CLASS = 60.0

# With more volumes than this, one bar counts volumes; with fewer, each has a bar of its slices.
_BARS = 8


@dataclass(frozen=True)
class Shown:
    """How a volume is shown to the model, and the places of the targets that are looked for there; None: all."""

    intensity: Intensity
    places: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Request:
    """What is asked of every volume, in each of the ways in which it is ``shown``.

    ``targets`` None: those of each file's own ``text_prompts`` (challenge npz), which also say whether
    labels are instances; with ``targets``, ``instance_labels`` says it. Those are split along predicted edges or
    written as one merged mask, as ``instances`` says; None is as the checkpoint's preset does, and the released
    code does not split. ``views`` None: the one that the checkpoint's rule chooses.
    """

    targets: tuple[Target, ...] | None
    shown: tuple[Shown, ...]
    averaging: Averaging = field(default_factory=Averaging)
    views: tuple[str, ...] | None = None
    instance_labels: bool = False
    instances: Literal["split", "merged"] | None = None


@dataclass(frozen=True)
class Failed:
    """A volume without result, and why."""

    case: str
    reason: str


class Predictor:
    """A model with the settings that its checkpoint records, on a device.

    ``adapt``: ``bio2vol`` reads across slices, with the checkpoint's settings or else the paper's; ``none``
    does not; None is as the checkpoint was trained.
    """

    def __init__(self, weights: Path, device: str = "cpu", adapt: str | None = None) -> None:
        self.model: Segmenter
        self.model, checkpoint = open_segmenter(weights)
        self.model.to(device)
        self.settings = SliceSettings.recorded(checkpoint.settings, str(weights))
        recorded = checkpoint.settings.get("bio2vol")
        self.volumes: Volumes | None = None
        if adapt == "bio2vol" or (adapt is None and recorded is not None):
            self.volumes = Volumes(self.model, Bio2VolSettings.model_validate(recorded or {})).eval()
        with checkpoint.path.open("rb") as file:
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()

    def predict(
        self, source: VolumeSource, request: Request, out: Path, progress: Progress, batch: int | None = None
    ) -> tuple[dict[str, Any], bool]:
        """Predict one volume and write its files; return its report, and whether it had been done before.

        Raises
        ------
        FveError
            For an input that cannot be read or predicted; nothing of it is written then.
        """
        targets, instances = _targets(source, request)
        usual = "merged" if self.settings.resize == "released" else "split"
        instances = instances and (request.instances or usual) == "split"
        if source.ending == ".npz" and max(one.class_id for one in targets) > 255:
            msg = (
                f"{source.path}: label id {max(one.class_id for one in targets)} is asked for, and segs of an npz hold "
                "ids up to 255; give smaller ids (--prompts 7=liver), or the volume as NIfTI"
            )
            raise PredictionError(msg)
        described = {
            "version": PREDICT_VERSION,
            "weights": self.sha256,
            "settings": asdict(self.settings),
            "targets": [asdict(target) for target in targets],
            "instances": instances,
            "request": {key: value for key, value in asdict(request).items() if key != "targets"},
            "source_sha256": source_sha256(source),
        }
        if self.volumes is not None:
            described["bio2vol"] = self.volumes.settings.model_dump()
        fingerprint = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        earlier = finished(source, out, fingerprint)
        if earlier is not None:
            return earlier, True

        started = time.perf_counter()
        pictures = [open_source(source, shown.intensity, self.settings) for shown in request.shown]
        picture = together(
            pictures, [shown.intensity.rendition or "" for shown in request.shown], source.path
        )
        shape = (picture.image.shape[0], picture.image.shape[1], picture.image.shape[2])
        views = request.views or choose_views(shape, picture.spacing, self.settings.views_rule)
        progress.note(f"{source.name}: {picture.decision}; view {', '.join(views)}")
        for text in picture.notes:
            progress.note(f"{source.name}: {text}")
        progress.stage(source.name, sum(shape[AXES[view]] for view in views), "slices")
        found = predict_volume(
            self.model,
            [one.image for one in pictures],
            targets,
            self.settings,
            views,
            request.averaging,
            looked_for=[
                range(len(targets)) if shown.places is None else shown.places for shown in request.shown
            ],
            instances=instances,
            batch=batch,
            advance=progress.advance,
            volumes=self.volumes,
        )
        report_path(source, out).unlink(missing_ok=True)  # a report never speaks for another label map
        notes = list(picture.notes)
        written = found.labels
        if instances:
            written, merged = merged_where_too_many(source, found, targets[0].class_id)
            if merged is not None:
                progress.note(f"{source.name}: {merged}")
                notes.append(merged)
        labels = write_result(source, picture, written, out)
        seconds = time.perf_counter() - started
        report = {
            "case": source.name,
            "labels": labels.name,
            "decision": picture.decision,
            "notes": notes,
            "spacing_mm": picture.spacing,
            "shape": shape,
            "seconds": round(seconds, 3),
            "seconds_a_class": round(seconds / len(targets), 3),
            "within_time": seconds / len(targets) <= _SECONDS_A_CLASS,
            "classes": findings(targets, found, picture.spacing, instances),
            "made_by": described,
            "fingerprint": fingerprint,
        }
        write_report(report_path(source, out), report)
        return report, False


def predict_all(
    predictor: Predictor,
    sources: Sequence[VolumeSource],
    request: Request,
    out: Path,
    progress: Progress,
    batch: int | None = None,
) -> tuple[list[dict[str, Any]], list[Failed]]:
    """Predict every source in turn; ``runtimes.csv`` has a line for each that has a result, earlier ones included.

    What is the machine's fault (no disk, no memory) is raised, all else is reported and the rest done.
    """
    out.mkdir(parents=True, exist_ok=True)
    reports: list[dict[str, Any]] = []
    failures: list[Failed] = []
    earlier = out / "runtimes.csv"
    runtimes = read_runtimes(earlier) if earlier.exists() else {}  # of calls for other volumes
    many = len(sources) > _BARS
    if many:
        progress.stage("predicting", len(sources), "volumes")
    for source in sources:
        try:
            own = _NotesOnly(progress) if many else progress
            report, before = predictor.predict(source, request, out, own, batch)
        except (FveError, OSError) as error:
            if is_environment_fault(error):
                raise
            failures.append(Failed(source.name, str(error)))
            progress.note(f"{source.name}: {error}")
            continue
        finally:
            if many:
                progress.advance()
        if before:
            progress.note(f"{source.name}: done before")
        reports.append(report)
        runtimes[report["case"]] = Runtime(report["seconds"], len(report["classes"]))
        write_runtimes(out, runtimes)
    for folder in {(out / report["case"]).parent for report in reports}:
        sweep_partials(folder)
    return reports, failures


class _NotesOnly:
    """Passes on what is noted, and keeps the slices of one volume among many to itself."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def stage(self, name: str, total: int, unit: str) -> None:
        pass

    def advance(self, count: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        self._progress.note(text)


def _targets(source: VolumeSource, request: Request) -> tuple[tuple[Target, ...], bool]:
    if request.targets is not None:
        return request.targets, request.instance_labels
    prompts = read_text_prompts(source.path, allow_pickle=True) if source.ending == ".npz" else None
    if prompts is None:
        msg = f"{source.path}: has no text_prompts; give --prompts or --catalog"
        raise PredictionError(msg)
    return targets_from_sentences(prompts.sentences), prompts.instances
