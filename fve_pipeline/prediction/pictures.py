"""How a volume becomes uint8, in each of the ways in which it is shown to the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.build.prepare.facts import CaseFacts
from fve_pipeline.errors import PredictionError
from fve_pipeline.files.open import open_files
from fve_pipeline.imaging.intensity import to_uint8
from fve_pipeline.imaging.windows import parse_window, wants_suv
from fve_pipeline.prediction.settings import SliceSettings
from fve_pipeline.prediction.sources import VolumeSource
from fve_pipeline.store.array import ShardedArray
from fve_pipeline.volume import Volume, read_image, source_affine

__all__ = ["Intensity", "Picture", "open_pictures", "together"]


@dataclass(frozen=True)
class Intensity:
    """How grey values become 0..255 where the file doesn't say it all.

    ``channel`` is of a multi-channel file, ``member`` an array of an npz or HDF5 file, ``rendition`` of a prepared store
    with several. ``nonfinite`` replaces NaN and infinite voxels, tilted series are straightened if ``resample_tilt``, and
    ``percentiles_over`` is a catalog's; a checkpoint may say all three.
    """

    modality: str | None = None
    window: str | None = None
    channel: int | None = None
    scaled: bool = False
    rendition: str | None = None
    nonfinite: float | None = None
    resample_tilt: bool = False
    member: str | None = None
    percentiles_over: str | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """A volume ready to be sliced: ``image`` (z,y,x) uint8 in LPS, ``spacing`` (z,y,x) mm.

    ``affine`` is that of the voxels in the source's own order (index, slowest axis first, to LPS mm);
    ``decision`` says how the grey values were made, ``notes`` what else was assumed in reading.
    """

    image: NDArray[np.uint8]
    spacing: tuple[float, float, float]
    affine: NDArray[np.float64]
    decision: str
    notes: tuple[str, ...] = ()


def open_pictures(
    source: VolumeSource, intensities: Sequence[Intensity], settings: SliceSettings
) -> list[Picture]:
    """Read a volume and make it uint8 in each way, as a build with the same settings would.

    Windows of one file cost one reading.

    Raises
    ------
    PredictionError
        If neither file nor user says the modality, or a CT's window.
    ReadError
        For a file that cannot be read right.
    """
    if (facts := source.facts) is not None:
        return [_prepared(source.path, facts, intensity.rendition) for intensity in intensities]

    @lru_cache(1)  # windows of one file follow each other; files of renditions' own are not kept
    def read(
        path: Path,
        channel: int | None,
        modality: str | None,
        member: str | None,
        nonfinite: float | None,
        resample_tilt: bool,
        suv: bool,
    ) -> Volume:
        return read_image(
            path,
            series=source.series,
            channel=channel,
            modality=modality,
            member=member,
            nonfinite=nonfinite,
            resample_tilt=resample_tilt,
            suv=suv,
        )

    pictures = []
    for own in intensities:
        volume = read(
            dict(source.images).get(own.rendition or "", source.path),
            own.channel,
            own.modality,
            own.member,
            settings.nonfinite if own.nonfinite is None else own.nonfinite,
            settings.resample_tilt or own.resample_tilt,
            wants_suv(own.window),
        )
        pictures.append(_picture(source, volume, own, settings))
    return pictures


def _picture(source: VolumeSource, volume: Volume, intensity: Intensity, settings: SliceSettings) -> Picture:
    # The challenge's files hold 0..255 already.
    scaled = intensity.scaled or (source.ending == ".npz" and volume.array.dtype == np.uint8)
    modality = volume.modality
    if modality is None and scaled:
        modality = "unknown"
    if modality is None:
        msg = f"{source.path}: does not say its modality; give --modality CT, MR, PET, US or Microscopy, or --catalog"
        raise PredictionError(msg)
    if modality == "CT" and intensity.window is None and not scaled:
        msg = (
            f"{source.path}: a CT needs a window; give --window (such as soft_tissue, or 400/40) or --catalog"
        )
        raise PredictionError(msg)
    image, decision = to_uint8(
        volume.array,
        modality=modality,
        rule=settings.intensity_rule,
        window=parse_window(intensity.window) if intensity.window is not None else None,
        percentiles_over=intensity.percentiles_over or settings.percentiles_over,
        scaled=scaled,
    )
    affine = source_affine(source.path, source.series, intensity.member)
    return Picture(image, volume.spacing, affine, f"{modality}: {decision}", volume.notes)


def together(pictures: Sequence[Picture], names: Sequence[str], path: Path) -> Picture:
    """Return what is common to a volume's renditions: the first of them, with the decisions and notes of all.

    Raises PredictionError where they differ in shape.
    """
    first = pictures[0]
    if len(pictures) == 1:
        return first
    shapes = {name: picture.image.shape for name, picture in zip(names, pictures, strict=True)}
    if len(set(shapes.values())) > 1:
        said = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        msg = (
            f"{path}: its renditions differ in shape (z,y,x): {said}; expected one grid. Register them first"
        )
        raise PredictionError(msg)
    decisions = "; ".join(
        f"{name}: {picture.decision}" for name, picture in zip(names, pictures, strict=True)
    )
    notes = dict.fromkeys(note for picture in pictures for note in picture.notes)
    return replace(first, decision=decisions, notes=tuple(notes))


def _prepared(work: Path, facts: CaseFacts, rendition: str | None) -> Picture:
    """A case of a prepared store: uint8 and LPS already."""
    chosen = rendition or facts.renditions[0]
    if chosen not in facts.renditions or (rendition is None and len(facts.renditions) > 1):
        msg = f"{facts.case}: prepared as {', '.join(facts.renditions)}; give --rendition with one of them"
        raise PredictionError(msg)
    image = ShardedArray(open_files(work / "prepared"), f"{facts.group}/{chosen}").read()
    return Picture(image, facts.spacing, np.array(facts.affine), f"prepared: {facts.decision}")
