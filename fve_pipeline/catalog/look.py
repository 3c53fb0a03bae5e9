"""Open one case and note what a check needs to know of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fve_pipeline.catalog.case import Case, Rendition
from fve_pipeline.errors import ReadError
from fve_pipeline.imaging.anatomy import check_anatomy
from fve_pipeline.imaging.intensity import share_below_zero
from fve_pipeline.imaging.windows import wants_suv
from fve_pipeline.volume import read_header, read_image, read_labels
from fve_pipeline.volume.dicom_header import object_kind
from fve_pipeline.volume.label_file import LabelFile
from fve_pipeline.volume.overlay import flattened, voxels_of_labels

__all__ = ["CaseLook", "look_at", "look_at_all", "look_at_headers"]

_SAMPLE = 200_000  # voxels that intensity percentiles are taken over


@dataclass(frozen=True, slots=True)
class CaseLook:
    """What was seen of a case. ``error`` is why it cannot be read; then the rest is empty.

    ``spacing`` is (z,y,x) in mm; ``percentiles`` are the 5th, 50th and 99.5th of the first rendition's
    intensities and ``below_zero`` their :func:`share_below_zero`; ``ids`` counts the voxels of each label id;
    ``pixels`` is the sha256 of shape and voxels.
    """

    case: Case
    error: str = ""
    shape: tuple[int, ...] = ()
    spacing: tuple[float, ...] = ()
    percentiles: tuple[float, ...] = ()
    below_zero: float = 0.0
    ids: Mapping[int, int] | None = None
    pixels: str = ""
    resampled: bool = False
    notes: tuple[str, ...] = ()
    anatomy: tuple[str, ...] = ()


def look_at_all(
    cases: Sequence[Case],
    root: Path,
    *,
    voxels: bool,
    names: Mapping[int, str] | None = None,
    overlaps: bool = False,
) -> list[CaseLook]:
    """Look at each case, whole or (``voxels`` False) by its headers."""
    return [
        look_at(case, root, names, overlaps=overlaps) if voxels else look_at_headers(case, root)
        for case in cases
    ]


def look_at_headers(case: Case, root: Path) -> CaseLook:
    """Headers alone: can the files be opened, and do they lie on one grid? No voxel is inflated."""
    try:
        first = case.renditions[0]
        image = read_header(
            root / (first.image or case.image), series=case.series, channel=first.channel, member=case.member
        )
        _same_grids(case, root)
        notes = [note for file in case.labels if (note := _label_grid(file, root, image.shape))]
    except ReadError as error:
        return CaseLook(case, error=_relative(error, root))
    return CaseLook(case, shape=image.shape, spacing=image.spacing, resampled=bool(notes), notes=tuple(notes))


def look_at(
    case: Case, root: Path, names: Mapping[int, str] | None = None, *, overlaps: bool = False
) -> CaseLook:
    """Read image and labels whole, as a build would. With ``names`` (label id to class), ask anatomy too.

    ``overlaps`` is the catalog's: whether a voxel may have several labels.
    """
    try:
        first = case.renditions[0]
        volume = read_image(
            root / (first.image or case.image),
            series=case.series,
            channel=first.channel,
            modality=case.modality,
            member=case.member,
            suv=wants_suv(first.window),
        )
        _same_grids(case, root)
        labels = read_labels(case.labels, root, volume, overlaps=overlaps)
    except ReadError as error:
        return CaseLook(case, error=_relative(error, root))
    flat = volume.array.reshape(-1)
    sample = flat[:: max(1, flat.size // _SAMPLE)]
    voxels = voxels_of_labels(labels)
    pixels = hashlib.sha256(repr(volume.array.shape).encode())
    pixels.update(np.ascontiguousarray(volume.array).data)
    hu = volume.array if case.modality == "CT" and not case.scaled else None
    found = (
        []
        if names is None
        else check_anatomy(flattened(labels.array, labels.sets)[0], volume.affine, names, hu)
    )
    return CaseLook(
        case,
        shape=volume.array.shape,
        spacing=volume.spacing,
        percentiles=tuple(float(value) for value in np.percentile(sample, (5, 50, 99.5))),
        below_zero=share_below_zero(sample),
        ids={int(label): int(voxels[label]) for label in np.flatnonzero(voxels) if label},
        pixels=pixels.hexdigest(),
        resampled=labels.resampled,
        notes=(*volume.notes, *labels.notes),
        anatomy=tuple(finding.message for finding in found),
    )


def _same_grids(case: Case, root: Path) -> None:
    """Renditions of one case share its labels, so their images must have one shape."""
    images = _by_image(case)
    if len(images) == 1:
        return
    shapes = {name: _shape(rendition, case, root) for name, rendition in images.items()}
    if len(set(shapes.values())) > 1:
        said = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        msg = f"{case.image}: its renditions differ in shape (z,y,x): {said}"
        raise ReadError(msg)


def _by_image(case: Case) -> dict[str, Rendition]:
    return {rendition.image or case.image: rendition for rendition in case.renditions}


def _shape(rendition: Rendition, case: Case, root: Path) -> tuple[int, int, int]:
    return read_header(
        root / (rendition.image or case.image),
        series=case.series,
        channel=rendition.channel,
        member=case.member,
    ).shape


def _label_grid(file: LabelFile, root: Path, shape: tuple[int, int, int]) -> str:
    if file.lack is not None:
        raise ReadError(file.lack)
    if file.slices_of is not None or object_kind(root / file.path, file.path) in ("RTSTRUCT", "SEG"):
        return ""  # pictures and contours have no grid of their own, and a SEG's is its pixels'
    header = read_header(root / file.path, channel=file.channel, member=file.member or "gts")
    if header.shape == shape:
        return ""
    return f"{file.path}: its grid is {header.shape} (z,y,x), the image's {shape}"


def _relative(error: ReadError, root: Path) -> str:
    return str(error).replace(f"{root}/", "")
