"""Writing a label map so that it lies on its image: the same axes, the same place, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from isal import igzip
from nibabel import Nifti1Image
from numpy.typing import NDArray

from fve_pipeline.files.atomic import replaced_whole
from fve_pipeline.volume.orientation import plan_turn
from fve_pipeline.volume.read import load_raw

__all__ = ["in_source_order", "source_affine", "write_labels"]

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def source_affine(path: Path, series: str | None = None, member: str | None = None) -> NDArray[np.float64]:
    """Return the affine of a file's voxels as it holds them: index (slowest axis first, 1) to LPS mm."""
    return load_raw(
        path, path.name, series=series, channel=None, member=member or "imgs", voxels=False
    ).affine


def write_labels(out: Path, labels: NDArray[np.unsignedinteger[Any]], affine: NDArray[np.float64]) -> None:
    """Write ``labels`` (z,y,x) in LPS, uint8 or uint16, with the axes of ``affine``; as NIfTI also (z,y,x,layers).

    ``affine`` is the image's :func:`source_affine`, so that the array in the file has the image's own shape
    and order of axes. The ending says the format: ``.nii.gz``, ``.nrrd`` or ``.mha``.
    """
    array = in_source_order(labels, affine)
    with replaced_whole(out) as part:
        if out.name.endswith(".nii.gz"):
            _write_nifti(part, array, affine)
        else:
            _write_itk(part, array, affine)


def in_source_order(labels: NDArray[Any], affine: NDArray[np.float64]) -> NDArray[Any]:
    """Return labels (z,y,x) in LPS with their axes as ``affine``, the image's :func:`source_affine`, has them."""
    order, flips = plan_turn(affine)
    step = tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)
    axes = [*np.argsort(order).tolist(), *range(3, labels.ndim)]
    return np.ascontiguousarray(labels[step].transpose(axes))


def _write_nifti(path: Path, array: NDArray[Any], affine: NDArray[np.float64]) -> None:
    ras = (_LPS_TO_RAS @ affine)[:, [2, 1, 0, 3]]
    image = Nifti1Image(array.transpose(2, 1, 0, *range(3, array.ndim)), ras)
    image.set_sform(ras, code=1)
    image.set_qform(ras, code=1)
    image.header.set_xyzt_units("mm")
    with path.open("wb") as raw, igzip.IGzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as file:
        file.write(image.to_bytes())


def _write_itk(path: Path, array: NDArray[Any], affine: NDArray[np.float64]) -> None:
    from fve_pipeline.volume.quiet_itk import sitk

    image = sitk.GetImageFromArray(array)
    xyz = affine[:, [2, 1, 0, 3]]
    spacing = np.sqrt((xyz[:3, :3] ** 2).sum(axis=0))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(xyz[:3, 3].tolist())
    image.SetDirection((xyz[:3, :3] / spacing).ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=True)
