"""Writing NIfTI files whose bytes depend on their contents alone."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

__all__ = ["nifti_bytes", "write_nifti"]


def write_nifti(
    path: Path,
    volume: NDArray[Any],
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    orientation: str = "LPS",
) -> None:
    """Write an LPS volume (z, y, x) as a .nii.gz whose array axes point along ``orientation``.

    ``spacing`` is (z, y, x) in mm, ``origin`` the first voxel's LPS position (x, y, z) in mm. The volume
    lies in the same place in the body whatever the orientation, such as "RAS" or "PIR".
    """
    data = nifti_bytes(volume, spacing, origin, orientation)
    path.write_bytes(gzip.compress(data, compresslevel=6, mtime=0))


def nifti_bytes(
    volume: NDArray[Any],
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    orientation: str = "LPS",
) -> bytes:
    """The same as an uncompressed .nii."""
    x, y, z = origin
    # NIfTI's world is RAS: x and y change sign.
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    affine[:3, 3] = -x, -y, z
    image = nib.Nifti1Image(volume.transpose(2, 1, 0), affine)
    target = nib.orientations.axcodes2ornt(tuple(orientation))
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt(("L", "P", "S")), target)
    image = image.as_reoriented(turn)
    image.header.set_xyzt_units("mm")
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    data: bytes = image.to_bytes()
    return data
