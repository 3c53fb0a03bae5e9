"""Any file -> :class:`Volume` or :class:`Header`: what the other modules of this package serve."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from fve_pipeline.volume.dicom import read_dicom
from fve_pipeline.volume.hdf5 import read_hdf5
from fve_pipeline.volume.kinds import kind_of, shown
from fve_pipeline.volume.nifti import read_nifti
from fve_pipeline.volume.npz import read_npz
from fve_pipeline.volume.orientation import (
    SHEAR_TOLERANCE,
    axis_codes,
    check_affine,
    check_orthogonal,
    plan_turn,
    settle_view,
    shear,
    spacing_of,
    turn_affine,
    turn_view,
)
from fve_pipeline.volume.tiff import read_tiff
from fve_pipeline.volume.tilt import straighten
from fve_pipeline.volume.types import Header, Raw, Volume
from fve_pipeline.volume.values import apply_scale, narrow, replace_nonfinite, scaled_dtype

__all__ = ["load_raw", "read_header", "read_image", "view_image"]


def read_image(
    path: str | Path,
    *,
    series: str | None = None,
    channel: int | None = None,
    modality: str | None = None,
    member: str | None = None,
    nonfinite: float | None = None,
    resample_tilt: bool = False,
    suv: bool = False,
    name: str | None = None,
) -> Volume:
    """Read one 3D image as (z,y,x) in LPS, exactly: axes are permuted and flipped, never interpolated.

    Parameters
    ----------
    path
        NIfTI-1/2 (gzipped or not), NRRD, MHA/MHD, a TIFF stack, npz, HDF5, a DICOM file, or a folder with
        the files of a DICOM series.
    series
        Which series of a DICOM folder: a key that :func:`list_series` gives, or a SeriesInstanceUID. A folder
        of several series is refused without it.
    channel
        Which volume of a 4D or multi-channel file; such files are refused without it.
    modality
        What the catalog says; wins over the file's own (DICOM), with a note when they differ.
    member
        Which array of an npz, or which dataset of an HDF5 file (its path); ``imgs`` by default.
    nonfinite
        Replaces NaN and infinite voxels, with their count in the notes; they are refused without it.
    resample_tilt
        Resample a sheared volume (tilted CT gantry) linearly; refused without it.
    suv
        A PET's values as SUV by body weight: computed for DICOM; other files are taken to hold it.
    name
        What messages call the file; the path as given, or its last part when it is absolute.

    Returns
    -------
    Volume
        Slope and intercept applied. Integers stay integers of at most 32 bits, in 16 where they fit; other
        values are float32.

    Raises
    ------
    ReadError
        The file is missing, truncated, damaged, of an unknown kind, or holds no single grey volume.
    GeometryError
        Its geometry is missing or impossible: uneven slices, mixed orientations, axes not orthogonal.
    """
    volume = view_image(
        path,
        series=series,
        channel=channel,
        modality=modality,
        member=member,
        nonfinite=nonfinite,
        resample_tilt=resample_tilt,
        suv=suv,
        name=name,
    )
    return replace(volume, array=settle_view(volume.array))


def view_image(
    path: str | Path,
    *,
    series: str | None = None,
    channel: int | None = None,
    modality: str | None = None,
    member: str | None = None,
    nonfinite: float | None = None,
    resample_tilt: bool = False,
    suv: bool = False,
    name: str | None = None,
) -> Volume:
    """As :func:`read_image`, but the array is a view, as the file holds its axes: for who goes over it once."""
    path = Path(path)
    name = name or shown(path)
    raw = load_raw(path, name, series=series, channel=channel, member=member or "imgs", voxels=True, suv=suv)
    array = raw.array
    raw.array = None  # so that each step below can free what it replaces
    if array is None or array.size == 0:  # pragma: no cover - readers raise before
        raise AssertionError(name)
    notes = list(raw.notes)
    array = narrow(apply_scale(array, raw.slope, raw.intercept))
    array, note = replace_nonfinite(array, nonfinite, name)
    if note:
        notes.append(note)
    affine = raw.affine
    if resample_tilt and shear(affine) > SHEAR_TOLERANCE:
        degrees = float(np.degrees(np.arcsin(min(shear(affine), 1.0))))
        array, affine = straighten(array, affine, name)
        notes.append(
            f"slices sheared by {degrees:.2f} degrees (tilted gantry) were straightened, linear in plane"
        )
    check_orthogonal(affine, name)
    if modality is not None and raw.modality is not None and modality.lower() != raw.modality.lower():
        notes.append(f"the file says modality {raw.modality}, the catalog {modality}")
    turn = plan_turn(affine)
    turned = turn_affine(affine, array.shape, turn)
    return Volume(
        array=turn_view(array, turn),
        spacing=spacing_of(turned),
        affine=turned,
        modality=modality or raw.modality,
        orientation=axis_codes(turn) if raw.located else "unknown",
        located=raw.located,
        notes=tuple(notes),
        place=raw.place,
    )


def read_header(
    path: str | Path,
    *,
    series: str | None = None,
    channel: int | None = None,
    modality: str | None = None,
    member: str | None = None,
    name: str | None = None,
) -> Header:
    """Return what :func:`read_image` would give, from headers alone: no voxel is inflated.

    Shear is not judged here, and a file of several channels is described without one being named; all else
    that a header shows to be unreadable raises as :func:`read_image` does.
    """
    path = Path(path)
    raw = load_raw(
        path, name or shown(path), series=series, channel=channel, member=member or "imgs", voxels=False
    )
    turn = plan_turn(raw.affine)
    affine = turn_affine(raw.affine, raw.shape, turn)
    z, y, x = (raw.shape[n] for n in turn[0])
    dtype = scaled_dtype(raw.dtype, raw.slope, raw.intercept)
    return Header(
        shape=(z, y, x),
        spacing=spacing_of(affine),
        dtype=dtype,
        nbytes=z * y * x * dtype.itemsize,
        channels=raw.channels,
        modality=modality or raw.modality,
        affine=affine,
        orientation=axis_codes(turn) if raw.located else "unknown",
        located=raw.located,
        place=raw.place,
    )


def load_raw(
    path: Path,
    name: str,
    *,
    series: str | None,
    channel: int | None,
    member: str,
    voxels: bool,
    suv: bool = False,
) -> Raw:
    """Return the volume as the file holds it, by the file's kind; its affine can be inverted."""
    kind = kind_of(path, name)
    if kind == "dicom":
        raw = read_dicom(path, name, series=series, voxels=voxels, suv=suv)
    elif kind == "nifti":
        raw = read_nifti(path, name, channel=channel, voxels=voxels)
    elif kind == "itk":
        from fve_pipeline.volume.itk import read_itk

        raw = read_itk(path, name, channel=channel, voxels=voxels)
    elif kind == "tiff":
        raw = read_tiff(path, name, channel=channel, voxels=voxels)
    elif kind == "hdf5":
        raw = read_hdf5(path, name, member=member, channel=channel, voxels=voxels)
    else:
        raw = read_npz(path, name, member=member, channel=channel, voxels=voxels)
    check_affine(raw.affine, name)
    return raw
