"""The demo's cohort: five kinds of data, a few subjects each, as files.

Every function here writes the same bytes for the same arguments. The layout is what the shipped ``demo_*``
catalogs describe.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.demo.cohort.cells import cells
from fve_pipeline.demo.cohort.dicom import write_ct_series
from fve_pipeline.demo.cohort.head import head
from fve_pipeline.demo.cohort.nifti import write_nifti
from fve_pipeline.demo.cohort.other_formats import write_challenge_npz, write_nrrd, write_tiff
from fve_pipeline.demo.cohort.pelvis import pelvis
from fve_pipeline.demo.cohort.torso import torso

__all__ = [
    "make_challenge_case",
    "make_cohort",
    "make_ct_case",
    "make_dicom_case",
    "make_microscopy_case",
    "make_mr_case",
]

_ORIENTATIONS = ("RAS", "LPS", "PIR", "LAS")
_FIELD_OF_VIEW = 390.0  # mm


def make_cohort(root: Path, *, seed: int = 0, cases_per_kind: int = 4, size: int = 160) -> None:
    """Write ``cases_per_kind`` subjects of each kind under ``root``.

    ======================================  ===============================================
    ``ct/{case}/image.nii.gz``              CT in HU, int16, with ``labels.nii.gz``
    ``ct_dicom/{case}/series/*.dcm``        a CT series, with ``labels.nii.gz``
    ``mr/{case}.nrrd``                      brain MR, with ``{case}_seg.nrrd``
    ``challenge/{case}.npz``                prostate MR, 0–255, labels in the same file
    ``microscopy/{case}.tif``               nuclei, with instances in ``{case}_masks.tif``
    ======================================  ===============================================

    ``size`` is about the width of a CT slice in pixels; all else follows from it. Existing files are written
    over.
    """
    for number in range(1, cases_per_kind + 1):
        make_ct_case(root / "ct" / f"ct_{number:02d}", number, seed=seed, size=size)
        make_dicom_case(root / "ct_dicom" / f"dcm_{number:02d}", number, seed=seed, size=size)
        make_mr_case(root / "mr" / f"mr_{number:02d}.nrrd", number, seed=seed, size=size)
        make_challenge_case(root / "challenge" / f"npz_{number:02d}.npz", number, seed=seed, size=size)
        make_microscopy_case(root / "microscopy" / f"mic_{number:02d}.tif", number, seed=seed, size=size)


def make_ct_case(folder: Path, number: int, *, seed: int = 0, size: int = 160) -> None:
    """``image.nii.gz`` and ``labels.nii.gz`` in ``folder``: an abdomen; the orientation varies by number."""
    hu, labels, spacing, origin = _abdomen(number, seed=seed, kind=1, size=size, slices=48)
    orientation = _ORIENTATIONS[(number - 1) % len(_ORIENTATIONS)]
    folder.mkdir(parents=True, exist_ok=True)
    write_nifti(folder / "image.nii.gz", hu, spacing, origin, orientation)
    write_nifti(folder / "labels.nii.gz", labels, spacing, origin, orientation)


def make_dicom_case(folder: Path, number: int, *, seed: int = 0, size: int = 160) -> None:
    """A DICOM series in ``folder/series`` and ``folder/labels.nii.gz``, whose rows run the other way."""
    hu, labels, spacing, origin = _abdomen(number, seed=seed, kind=2, size=size * 4 // 5, slices=30)
    (folder / "series").mkdir(parents=True, exist_ok=True)
    write_ct_series(folder / "series", hu, spacing, origin, f"Patient{number:02d}")
    write_nifti(folder / "labels.nii.gz", labels, spacing, origin, "LAS")


def make_mr_case(path: Path, number: int, *, seed: int = 0, size: int = 160) -> None:
    """A brain MR as NRRD with ``_seg.nrrd`` beside it: int16 and upright, or float32 and oblique, by turns."""
    shape = (size // 4, size * 9 // 10, size * 4 // 5)
    image, labels = head(shape, _seed(seed, 3, number))
    spacing = (round(168 / shape[0], 3), round(210 / shape[1], 3), round(180 / shape[2], 3))
    oblique = number % 2 == 0
    voxels: NDArray[np.int16] | NDArray[np.float32] = image if oblique else np.rint(image).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    tilt = 7.0 + number if oblique else 0.0
    write_nrrd(path, voxels, spacing, tilt)
    write_nrrd(path.with_name(f"{path.stem}_seg.nrrd"), labels, spacing, tilt)


def make_challenge_case(path: Path, number: int, *, seed: int = 0, size: int = 160) -> None:
    """A prostate MR as the challenge's npz, near isotropic, so that all three views train."""
    shape = (size // 4, size * 3 // 10, size // 4 + number)
    image, labels = pelvis(shape, _seed(seed, 4, number))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_challenge_npz(path, image, labels, (1.5, 1.45, 1.5))


def make_microscopy_case(path: Path, number: int, *, seed: int = 0, size: int = 160) -> None:
    """Nuclei as an ImageJ TIFF with ``_masks.tif`` beside it; more than 255 of them in the first case."""
    shape = (size * 3 // 20, size * 4 // 5, size * 4 // 5)
    image, labels = cells(shape, 400 if number == 1 else 60 + 20 * number, _seed(seed, 5, number))
    spacing = (0.001, 0.0005, 0.0005)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tiff(path, image, spacing)
    write_tiff(path.with_name(f"{path.stem}_masks.tif"), labels, spacing)


def _abdomen(
    number: int, *, seed: int, kind: int, size: int, slices: int
) -> tuple[NDArray[np.int16], NDArray[np.uint8], tuple[float, float, float], tuple[float, float, float]]:
    """Voxels in HU, labels, spacing (z, y, x) and LPS origin (x, y, z); sizes and spacings vary by number."""
    side = size - 16 + 16 * ((number - 1) % 3)
    shape = (slices * size // 160 + 2 * number, side, side)
    hu, labels = torso(shape, _seed(seed, kind, number))
    pixel = round(_FIELD_OF_VIEW / side, 4)
    spacing = (round(250 / shape[0], 2), pixel, pixel)
    origin = (-_FIELD_OF_VIEW / 2, -_FIELD_OF_VIEW / 2 + 5 * number, -700.0 + 10 * number)
    return hu, labels, spacing, origin


def _seed(seed: int, kind: int, number: int) -> int:
    return (seed * 16 + kind) * 1024 + number
