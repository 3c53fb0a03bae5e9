"""Writing NRRD, the challenge's npz and ImageJ's TIFF, their bytes a function of their contents alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import tifffile
from numpy.typing import NDArray

__all__ = ["write_challenge_npz", "write_nrrd", "write_tiff"]


def write_nrrd(
    path: Path, volume: NDArray[Any], spacing: tuple[float, float, float], tilt: float = 0.0
) -> None:
    """Write an LPS volume (z, y, x) as a gzipped NRRD, centred on the origin.

    ``tilt`` turns the slices about the left–right axis, in degrees, as scans of heads are: an oblique volume.
    """
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing(spacing[::-1])
    c, s = np.cos(np.deg2rad(tilt)), np.sin(np.deg2rad(tilt))
    direction = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    image.SetDirection(direction.ravel().tolist())
    middle = np.array(spacing[::-1]) * (np.array(volume.shape[::-1]) - 1) / 2
    image.SetOrigin(np.round(-direction @ middle, 4).tolist())
    sitk.WriteImage(image, str(path), useCompression=True)


def write_challenge_npz(
    path: Path, image: NDArray[np.uint8], labels: NDArray[np.uint8], spacing: tuple[float, float, float]
) -> None:
    """Write a case as the CVPR 2025 challenge does: ``imgs`` and ``gts`` (z, y, x), ``spacing`` (x, y, z)."""
    np.savez_compressed(path, imgs=image, gts=labels, spacing=np.array(spacing[::-1]))


def write_tiff(path: Path, volume: NDArray[Any], spacing: tuple[float, float, float]) -> None:
    """Write a volume (z, y, x) as an ImageJ stack; ``spacing`` (z, y, x) in mm is kept in micrometres."""
    depth, height, width = (1000 * s for s in spacing)
    tifffile.imwrite(
        path,
        volume,
        imagej=True,
        resolution=(1 / width, 1 / height),
        metadata={"axes": "ZYX", "spacing": depth, "unit": "um"},
    )
