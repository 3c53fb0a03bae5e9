"""One volume's way in three steps, so that one volume is read and another written while a third is segmented."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fve_pipeline import __version__
from fve_pipeline.bio2vol.network import Volumes
from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.errors import PredictionError
from fve_pipeline.evaluation.runtimes import SECONDS_A_CLASS
from fve_pipeline.imaging.views import AXES, choose_views
from fve_pipeline.prediction.archive import IDENTITY, write_for_archive
from fve_pipeline.prediction.loaded import LoadedModel, Precision, usual_precision
from fve_pipeline.prediction.outputs import (
    findings,
    finished,
    merged_where_too_many,
    report_path,
    write_apart,
    write_report,
    write_result,
)
from fve_pipeline.prediction.pictures import Picture, open_pictures, together
from fve_pipeline.prediction.prompts import Target, targets_from_sentences
from fve_pipeline.prediction.request import Request
from fve_pipeline.prediction.settings import SliceSettings
from fve_pipeline.prediction.sources import DICOM_ENDINGS, VolumeSource, is_dicom, source_sha256
from fve_pipeline.prediction.volume import Segmentation, predict_volume
from fve_pipeline.runtime.progress import Progress
from fve_pipeline.segmenter.checkpoint import open_segmenter
from fve_pipeline.volume.challenge_npz import read_text_prompts
from fve_pipeline.volume.dicom_source import MadeBy

__all__ = ["PREDICT_VERSION", "Opened", "Predictor", "Segmented"]

# Raised whenever the same input, weights and request would give another label map.
PREDICT_VERSION = 4


@dataclass(frozen=True, eq=False)
class Opened:
    """A volume in memory: ``pictures``, one a rendition, ``picture`` what they share, and what is asked of them.

    ``described`` is all that decides the label map, ``fingerprint`` its hash; ``seconds`` went into reading.
    """

    source: VolumeSource
    targets: tuple[Target, ...]
    instances: bool
    views: tuple[str, ...]
    pictures: tuple[Picture, ...]
    picture: Picture
    described: dict[str, Any]
    fingerprint: str
    seconds: float


@dataclass(frozen=True, eq=False)
class Segmented:
    """A label map in memory; ``opened`` no longer holds voxels, ``seconds`` went into reading and segmenting."""

    opened: Opened
    found: Segmentation
    seconds: float


class Predictor:
    """A model with the settings that its checkpoint records, on a device.

    ``adapt``: ``bio2vol`` reads across slices, with the checkpoint's settings or else the paper's; ``none``
    does not; None is as the checkpoint was trained. ``precision`` None is bf16 on a GPU, float32 on a CPU.
    """

    def __init__(
        self,
        weights: Path,
        device: str = "cpu",
        adapt: str | None = None,
        precision: Precision | None = None,
    ) -> None:
        model, checkpoint = open_segmenter(weights)
        model.to(device)
        self.settings = SliceSettings.recorded(checkpoint.settings, str(weights))
        recorded = checkpoint.settings.get("bio2vol")
        volumes: Volumes | None = None
        if adapt == "bio2vol" or (adapt is None and recorded is not None):
            volumes = Volumes(model, Bio2VolSettings.model_validate(recorded or {})).eval()
        self.trained_on = checkpoint.trained_on
        self.loaded = LoadedModel(model, volumes, precision or usual_precision(model.pixel_mean.device))
        with checkpoint.path.open("rb") as file:
            self._sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self.made_by = MadeBy(
            "fve_pipeline text-prompted segmenter", __version__, (("weights", self._sha256),)
        )

    def open(self, source: VolumeSource, request: Request, out: Path) -> Opened | dict[str, Any]:
        """Read a volume and make it uint8; return the report instead where an earlier run has done it all.

        Raises
        ------
        FveError
            For an input that cannot be read, or that cannot be asked this.
        """
        if source.ending in DICOM_ENDINGS.values() and not is_dicom(source):
            msg = (
                f"{source.path}: no DICOM series, and {source.ending[1:]} refers to one; expected a DICOM folder or file. "
                "Predict the others without --to"
            )
            raise PredictionError(msg)
        targets, instances = _targets(source, request)
        usual = "merged" if self.settings.resize == "released" else "split"
        instances = instances and (request.instances or usual) == "split"
        if source.ending == ".npz" and max(one.class_id for one in targets) > 255:
            msg = (
                f"{source.path}: label id {max(one.class_id for one in targets)} is asked for, and segs of an npz hold "
                "ids up to 255; give smaller ids (--prompts 7=liver), or the volume as NIfTI"
            )
            raise PredictionError(msg)
        described = self._described(source, request, targets, instances)
        fingerprint = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        earlier = finished(source, out, fingerprint)
        if earlier is not None:
            return earlier
        started = time.perf_counter()
        intensities = [shown.intensity for shown in request.shown]
        pictures = open_pictures(source, intensities, self.settings)
        names = [intensity.rendition or "" for intensity in intensities]
        picture = together(pictures, names, source.path)
        shape = (picture.image.shape[0], picture.image.shape[1], picture.image.shape[2])
        views = request.views or choose_views(shape, picture.spacing, self.settings.views_rule)
        seconds = time.perf_counter() - started
        return Opened(
            source, targets, instances, views, tuple(pictures), picture, described, fingerprint, seconds
        )

    def segment(
        self, opened: Opened, request: Request, progress: Progress, batch: int | None = None, place: str = ""
    ) -> Segmented:
        """Run the model over an opened volume, the one step that needs the device.

        ``place`` is the volume's among all, such as " (2 of 5)", for whoever watches.

        Raises
        ------
        PredictionError
            For instances of several targets, renditions or views.
        """
        started = time.perf_counter()
        source, shape = opened.source, opened.picture.image.shape
        title = f"{source.name}{place}"
        progress.note(f"{title}: {opened.picture.decision}; view {', '.join(opened.views)}")
        for text in opened.picture.notes:
            progress.note(f"{source.name}: {text}")
        progress.stage(title, sum(shape[AXES[view]] for view in opened.views), "slices")
        everywhere = range(len(opened.targets))
        found = predict_volume(
            self.loaded,
            [one.image for one in opened.pictures],
            opened.targets,
            self.settings,
            opened.views,
            request.averaging,
            looked_for=[everywhere if one.places is None else one.places for one in request.shown],
            instances=opened.instances,
            keep=request.overlaps != "merge",
            batch=batch,
            advance=progress.advance,
        )
        emptied = replace(opened.picture, image=np.empty((0, 0, 0), np.uint8))
        light = replace(opened, pictures=(), picture=emptied)
        return Segmented(light, found, opened.seconds + time.perf_counter() - started)

    def write(self, done: Segmented, out: Path, progress: Progress) -> dict[str, Any]:
        """Write a label map and its report, and return the report.

        Raises
        ------
        OSError
            Where the disk refuses.
        """
        started = time.perf_counter()
        opened, found, source = done.opened, done.found, done.opened.source
        report_path(source, out).unlink(missing_ok=True)  # a report never speaks for another label map
        notes = list(opened.picture.notes)
        image = source.facts.source_sha256 if source.facts else opened.described["source_sha256"]
        seen = image in self.trained_on.hashes
        if seen:
            notes.append("the weights were trained on this image: its scores say nothing of others")
            progress.note(f"{source.name}: {notes[-1]}")
        written = found.labels
        if opened.instances:
            written, merged = merged_where_too_many(source, found, opened.targets[0].class_id)
            if merged is not None:
                progress.note(f"{source.name}: {merged}")
                notes.append(merged)
        spacing = opened.picture.spacing
        apart: str | None = None
        files: list[str] = []
        if source.ending in DICOM_ENDINGS.values():
            labels = write_for_archive(
                source, opened.picture, replace(found, labels=written), opened.targets, out, self.made_by
            )
            notes += [IDENTITY]
        else:
            labels = write_result(source, opened.picture, written, out)
            if found.kept is not None:
                layers = opened.described["request"]["overlaps"] == "layers"
                apart, files = write_apart(
                    source, opened.picture, found.kept, opened.targets, out, layers=layers
                )
        classes = findings(opened.targets, found, spacing, opened.instances)
        seconds = done.seconds + time.perf_counter() - started
        report = {
            "case": source.name,
            "labels": labels.name,
            "files": [labels.name, *files],
            **({} if apart is None else {"classes_apart": apart}),
            "decision": opened.picture.decision,
            "notes": notes,
            "spacing_mm": spacing,
            "shape": found.labels.shape,
            "seconds": round(seconds, 3),
            "seconds_a_class": round(seconds / len(opened.targets), 3),
            "within_time": seconds / len(opened.targets) <= SECONDS_A_CLASS,
            "classes": classes,
            "seen_in_training": seen,
            "made_by": opened.described,
            "fingerprint": opened.fingerprint,
        }
        write_report(report_path(source, out), report)
        return report

    def _described(
        self, source: VolumeSource, request: Request, targets: tuple[Target, ...], instances: bool
    ) -> dict[str, Any]:
        """All that decides a label map. What float32 has always given stays named as it was."""
        described = {
            "version": PREDICT_VERSION,
            "weights": self._sha256,
            "settings": asdict(self.settings),
            "targets": [asdict(target) for target in targets],
            "instances": instances,
            "request": request.described,
            "source_sha256": source_sha256(source),
        }
        if self.loaded.volumes is not None:
            described["bio2vol"] = self.loaded.volumes.settings.model_dump()
        if self.loaded.precision != "float32":
            described["precision"] = self.loaded.precision
        return described


def _targets(source: VolumeSource, request: Request) -> tuple[tuple[Target, ...], bool]:
    if (own := request.own_targets.get(source.path)) is not None:
        return own, False
    if request.targets is not None:
        return request.targets, request.instance_labels
    prompts = read_text_prompts(source.path, allow_pickle=True) if source.ending == ".npz" else None
    if prompts is None:
        msg = f"{source.path}: has no text_prompts; give --prompts or --catalog"
        raise PredictionError(msg)
    return targets_from_sentences(prompts.sentences), prompts.instances
