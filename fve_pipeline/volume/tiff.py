"""TIFF stacks: plain, ImageJ and OME, as microscopes write them."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from fve_pipeline.errors import ReadError
from fve_pipeline.runtime.faults import is_environment_fault
from fve_pipeline.volume.orientation import flat_affine
from fve_pipeline.volume.refusal import pick_channel, refusal
from fve_pipeline.volume.types import Raw

__all__ = ["read_tiff"]

#: Millimetres in a unit, by the names that ImageJ and OME use.
_UNITS = {"nm": 1e-6, "um": 1e-3, "µm": 1e-3, "\\u00b5m": 1e-3, "micron": 1e-3, "microns": 1e-3, "mm": 1.0}
_UNITS |= {"cm": 10.0, "m": 1000.0, "micrometer": 1e-3, "inch": 25.4}
_DEPTH = "ZQI"  # Q and I: axes that the file doesn't name


def read_tiff(path: Path, name: str, *, channel: int | None, voxels: bool) -> Raw:
    """Read one volume of a TIFF file, or (``voxels`` False) its header only.

    A stack without a known voxel size gets 1 mm, with a note. TIFF has no position in the body, so labels are
    matched to such images by index.
    """
    size = path.stat().st_size
    try:
        with tifffile.TiffFile(path, _multifile=False) as file:
            _check_chain(file, size)
            if len(file.series) != 1:
                found = f"{len(file.series)} image series in one TIFF"
                raise refusal(name, found, "one", "Split the file first")
            series = file.series[0]
            raw, select = _describe(file, series, name, channel, strict=voxels)
            if voxels:
                _check_strips(series, size)
                array = series.asarray()[select].reshape(raw.shape)
                raw.array = np.require(array, requirements="W")
            return raw
    except Exception as error:  # tifffile and its decoders raise whatever they run into
        if isinstance(error, ReadError) or is_environment_fault(error):
            raise
        found = f"truncated or damaged TIFF ({_reason(error, path)})"
        raise refusal(name, found, "a whole stack", "Download it again") from error


def _check_chain(file: Any, size: int) -> None:
    """Follow the page directories: tifffile stops without an error where their chain leaves the file."""
    tiff, handle = file.tiff, file.filehandle
    handle.seek(8 if tiff.version == 43 else 4)
    offset = struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))[0]
    while offset:
        if offset + tiff.tagnosize > size:
            msg = f"a page directory at byte {offset} of {size}"
            raise ValueError(msg)
        handle.seek(offset)
        tags = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))[0]
        handle.seek(offset + tiff.tagnosize + tags * tiff.tagsize)
        offset = struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))[0]


def _check_strips(series: Any, size: int) -> None:
    """Every strip must lie in the file: tifffile fills what lies outside with zeros."""
    for page in series.pages:
        if page is None:
            msg = "a page that lies in another file, or nowhere"
            raise ValueError(msg)
        ends = [a + n for a, n in zip(page.dataoffsets, page.databytecounts, strict=False)]
        if max(ends, default=0) > size:
            msg = f"pixels up to byte {max(ends)} of {size}"
            raise ValueError(msg)


def _reason(error: Exception, path: Path) -> str:
    return (
        str(error).replace(str(path), path.name).splitlines()[0][:160] if str(error) else type(error).__name__
    )


def _describe(
    file: Any, series: Any, name: str, channel: int | None, *, strict: bool
) -> tuple[Raw, tuple[slice | int, ...]]:
    axes, sizes = str(series.axes), tuple(int(n) for n in series.shape)
    dtype = np.dtype(series.dtype)
    text = f"axes {axes} of {'×'.join(map(str, sizes))}"
    if dtype.kind not in "iuf" and dtype != np.bool_:
        raise refusal(name, f"voxels of type {dtype}", "integers or floats", "Convert it")
    if "S" in axes:
        raise refusal(
            name, f"a colour picture ({text})", "one grey value a voxel", "Give the scan, not a rendering"
        )
    depth = [a for a in axes if a in _DEPTH]
    others = [a for a in axes if a not in "YX" and a not in _DEPTH and sizes[axes.index(a)] > 1]
    if "Y" not in axes or "X" not in axes or len(depth) > 1 or len(others) > 1:
        raise refusal(name, text, "a stack of slices (ZYX), with one more axis at most", "Split it first")
    channels = sizes[axes.index(others[0])] if others else 1
    index = pick_channel(name, channels, channel, text, strict=strict)
    keep = "".join(depth) + "YX"
    select = tuple(slice(None) if a in keep else (index if [a] == others else 0) for a in axes)
    z = sizes[axes.index(depth[0])] if depth else 1
    y, x = sizes[axes.index("Y")], sizes[axes.index("X")]
    if axes.index("Y") > axes.index("X") or (depth and axes.index(depth[0]) > axes.index("Y")):
        raise refusal(name, text, "the axes in the order Z, Y, X", "Write it again in that order")
    notes: list[str] = []
    spacing = _spacing(file)
    if spacing is None:
        notes.append("no voxel size in the file: 1 mm assumed")
        spacing = (1.0, 1.0, 1.0)
    affine = flat_affine(spacing)
    return Raw((z, y, x), dtype, affine, channels=channels, located=False, notes=notes), select


def _spacing(file: Any) -> tuple[float, float, float] | None:
    """(z,y,x) in mm from ImageJ or OME metadata; None where there is none."""
    if file.is_ome and file.ome_metadata:
        return _ome_spacing(file.ome_metadata)
    if not file.is_imagej or not file.imagej_metadata:
        return None
    unit = _UNITS.get(str(file.imagej_metadata.get("unit", "")).strip().lower())
    depth = float(file.imagej_metadata.get("spacing", 0))
    tags = file.pages[0].tags
    if unit is None or depth <= 0 or "XResolution" not in tags or "YResolution" not in tags:
        return None
    per_pixel = []
    for tag in ("YResolution", "XResolution"):
        above, below = tags[tag].value
        if not above or not below:
            return None
        per_pixel.append(below / above)
    return depth * unit, per_pixel[0] * unit, per_pixel[1] * unit


def _ome_spacing(xml: str) -> tuple[float, float, float] | None:
    out = []
    for axis in "ZYX":
        size = re.search(rf'PhysicalSize{axis}="([^"]+)"', xml)
        unit = re.search(rf'PhysicalSize{axis}Unit="([^"]+)"', xml)
        factor = _UNITS.get(unit.group(1).strip().lower() if unit else "um")  # OME's default is µm
        if size is None or factor is None or float(size.group(1)) <= 0:
            return None
        out.append(float(size.group(1)) * factor)
    return out[0], out[1], out[2]
