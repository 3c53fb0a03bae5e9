"""NRRD and MetaImage (MHA, MHD): headers through SimpleITK, voxels too where they aren't of the plain kind.

SimpleITK raises when these formats' voxels are cut short (for NIfTI it does not).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.volume.detached import data_files
from fve_pipeline.volume.itk_voxels import read_plain_voxels
from fve_pipeline.volume.quiet_itk import sitk
from fve_pipeline.volume.refusal import pick_channel, refusal
from fve_pipeline.volume.types import Raw

__all__ = ["read_itk"]

_TYPES = {
    sitk.sitkUInt8: np.uint8,
    sitk.sitkInt8: np.int8,
    sitk.sitkUInt16: np.uint16,
    sitk.sitkInt16: np.int16,
    sitk.sitkUInt32: np.uint32,
    sitk.sitkInt32: np.int32,
    sitk.sitkUInt64: np.uint64,
    sitk.sitkInt64: np.int64,
    sitk.sitkFloat32: np.float32,
    sitk.sitkFloat64: np.float64,
}


def read_itk(path: Path, name: str, *, channel: int | None, voxels: bool) -> Raw:
    """Read one volume of an NRRD or MetaImage file, or (``voxels`` False) its header only."""
    data_files(path, name)  # refused before SimpleITK follows them
    reader = sitk.ImageFileReader()
    nrrd = _is_nrrd(path)
    reader.SetImageIO("NrrdImageIO" if nrrd else "MetaImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise refusal(
            name, f"its header can't be read ({_reason(error)})", "NRRD or MetaImage", "Write it again"
        ) from None
    raw = _describe(reader, name, channel, strict=voxels)
    if nrrd and not reader.HasMetaDataKey("NRRD_space"):
        raw.notes.append("no space in the header: LPS axes assumed")
    if voxels and raw.channels == 1:
        raw.array = read_plain_voxels(path, raw.shape, raw.dtype, name)
        raw.dtype = raw.dtype if raw.array is None else raw.array.dtype
    if voxels and raw.array is None:
        try:
            image = reader.Execute()
        except RuntimeError as error:
            raise refusal(
                name,
                f"truncated or damaged voxels ({_reason(error)})",
                f"{raw.shape} (z,y,x) of {raw.dtype}",
                "Download it again",
            ) from None
        raw.array = _take(sitk.GetArrayFromImage(image), reader.GetNumberOfComponents(), channel or 0)
    return raw


def _is_nrrd(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"NRRD"


def _reason(error: RuntimeError) -> str:
    """Return the last line of an ITK message without the folders and addresses that it carries."""
    text = str(error).strip().splitlines()[-1].strip()
    if "ITK ERROR" in text:
        text = text.split("):", 1)[-1].strip()
    words = [word for word in text.split() if "/" not in word]
    return " ".join(words)[:160]


def _describe(reader: Any, name: str, channel: int | None, *, strict: bool) -> Raw:
    size, dimension = reader.GetSize(), reader.GetDimension()
    components, pixel = reader.GetNumberOfComponents(), reader.GetPixelID()
    text = sitk.GetPixelIDValueAsString(pixel)
    if "complex" in text:
        raise refusal(name, "complex voxels", "real ones", "Save the magnitude (or phase) as its own file")
    if dimension not in (2, 3, 4):
        raise refusal(name, f"{dimension} dimensions", "3, or 4 with a channel named", "Split it first")
    if dimension == 4 and components > 1:
        raise refusal(
            name, f"4 dimensions of {components} components each", "one or the other", "Split it first"
        )
    fourth = size[3] if dimension == 4 else 1
    channels = components * fourth
    found = f"{dimension} dimensions, {components} values a voxel"
    pick_channel(name, channels, channel, found, strict=strict)
    scalar = _scalar(pixel, text, name)
    shape = (size[2] if dimension > 2 else 1, size[1], size[0])
    return Raw(shape, scalar, _affine(reader, dimension), channels=channels)


def _scalar(pixel: int, text: str, name: str) -> np.dtype[Any]:
    if pixel in _TYPES:
        return np.dtype(_TYPES[pixel])
    # A vector's scalar type has the same words: "vector of 8-bit unsigned integer".
    for code, scalar in _TYPES.items():
        if text == f"vector of {sitk.GetPixelIDValueAsString(code)}":
            return np.dtype(scalar)
    raise refusal(name, f"voxels of type {text}", "integers or floats", "Convert it")


def _affine(reader: Any, dimension: int) -> NDArray[np.float64]:
    direction = np.asarray(reader.GetDirection(), np.float64).reshape(dimension, dimension)
    affine = np.eye(4)
    n = min(dimension, 3)
    spacing = np.asarray(reader.GetSpacing(), np.float64)[:n]
    affine[:n, :n] = direction[:n, :n] * spacing
    affine[:n, 3] = reader.GetOrigin()[:n]
    out: NDArray[np.float64] = affine[:, [2, 1, 0, 3]]
    return out


def _take(array: NDArray[Any], components: int, channel: int) -> NDArray[Any]:
    if components > 1:
        array = array[..., channel]
    elif array.ndim == 4:
        array = array[channel]
    return array[None] if array.ndim == 2 else array
