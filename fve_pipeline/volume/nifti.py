"""NIfTI-1 and NIfTI-2, plain or gzipped, single file.

nibabel reads the header; the voxels are inflated by ISA-L straight into the array that is returned, which
takes half the time of zlib and no second copy. The gzip stream is read to its end, so that its checksum is
checked and a cut download is an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
from isal import igzip, isal_zlib
from nibabel import Nifti1Header, Nifti2Header
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from fve_pipeline.errors import GeometryError
from fve_pipeline.volume.inflate import INFLATE_ERRORS, check_size, fill_array
from fve_pipeline.volume.refusal import pick_channel, refusal
from fve_pipeline.volume.types import Raw

__all__ = ["read_nifti"]

_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # xyzt_units: unknown is taken as mm
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_nifti(path: Path, name: str, *, channel: int | None, voxels: bool) -> Raw:
    """Read one volume of a NIfTI file, or (``voxels`` False) its header only."""
    with path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        header = _parse_header(_header_bytes(file, gzipped, name), name)
    with np.errstate(all="ignore"):  # what a broken header makes of them is refused further on
        raw, offset, skip = _describe(header, name, channel, strict=voxels)
    volume = int(np.prod(raw.shape, dtype=np.int64)) * raw.dtype.itemsize
    check_size(path.stat().st_size, offset + raw.channels * volume, name, deflated=gzipped)
    if voxels:
        with igzip.open(path, "rb") if gzipped else path.open("rb") as stream:
            after = raw.channels * volume - skip - volume
            raw.array = fill_array(
                stream, offset + skip, raw.shape, raw.dtype, name, gzipped=gzipped, after=after
            )
    return raw


def _header_bytes(file: IO[bytes], gzipped: bool, name: str) -> bytes:
    if not gzipped:
        return file.read(540)
    inflate = isal_zlib.decompressobj(31)
    head = b""
    try:
        while len(head) < 540 and (piece := inflate.unused_data or file.read(1024)):
            if inflate.eof:  # a file of several gzip members, as bgzip writes
                inflate = isal_zlib.decompressobj(31)
            head += inflate.decompress(piece, 540 - len(head))
    except INFLATE_ERRORS as error:
        raise refusal(
            name, f"damaged gzip stream ({error})", "a .nii.gz file", "Download it again"
        ) from error
    return head


def _parse_header(head: bytes, name: str) -> Any:
    size = {int.from_bytes(head[:4], order) for order in ("little", "big")} if len(head) >= 348 else set()
    if 348 in size and head[344:348] == b"n+1\0":
        return Nifti1Header(head[:348], check=False)
    if 540 in size and head[4:8] == b"n+2\0" and len(head) >= 540:
        return Nifti2Header(head[:540], check=False)
    if 348 in size and head[344:348] in (b"ni1\0", b"\0\0\0\0"):
        raise refusal(
            name,
            "an Analyze or NIfTI header with its voxels in another file",
            "one .nii file",
            "Convert the pair",
        )
    raise refusal(
        name,
        f"no NIfTI header in its first {len(head)} bytes",
        "348 (NIfTI-1) or 540 (NIfTI-2) bytes that say so",
        "Download or convert it again",
    )


def _describe(header: Any, name: str, channel: int | None, *, strict: bool) -> tuple[Raw, int, int]:
    """(Raw without voxels, offset of the voxels, bytes to skip to the channel)."""
    dims = [int(n) for n in header["dim"]]
    if not 1 <= dims[0] <= 7 or any(n < 1 for n in dims[1 : dims[0] + 1]):
        raise refusal(name, f"the header's dimensions are {dims}", "positive sizes", "Repair the header")
    dtype = _voxel_type(header, name)
    full = dims[1 : dims[0] + 1] + [1] * (3 - dims[0])
    channels = int(np.prod(full[3:], dtype=np.int64)) if len(full) > 3 else 1
    shape = (full[2], full[1], full[0])
    text = "×".join(map(str, full)) + ", x first"
    index = pick_channel(name, channels, channel, text, strict=strict)
    slope, intercept = _scale(header, name)
    notes: list[str] = []
    affine = _affine(header, name, notes)
    raw = Raw(shape, dtype, affine, slope=slope, intercept=intercept, channels=channels, notes=notes)
    # Both kinds of header may give 0 here; the voxels never start inside the header.
    said = float(header["vox_offset"])
    if not 0 <= said < 2**40:
        raise refusal(name, f"its voxels start at byte {said:g}", "a place in the file", "Repair the header")
    offset = max(int(said), header.sizeof_hdr + 4)
    return raw, offset, index * int(np.prod(shape, dtype=np.int64)) * dtype.itemsize


def _voxel_type(header: Any, name: str) -> np.dtype[Any]:
    code = int(header["datatype"])
    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
        label = header._data_type_codes.label[code]
    except (HeaderDataError, KeyError):
        raise refusal(name, f"voxels of unknown type {code}", "integers or floats", "Convert it") from None
    if dtype.kind == "c":
        raise refusal(
            name, f"complex voxels ({label})", "real ones", "Save the magnitude (or phase) as its own file"
        )
    if dtype.kind == "V":
        raise refusal(
            name, f"colour voxels ({label})", "one grey value a voxel", "Give the scan, not a rendering"
        )
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise refusal(name, f"voxels of type {label}", "integers or floats of up to 64 bits", "Convert it")
    return dtype


def _scale(header: Any, name: str) -> tuple[float, float]:
    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError:
        raise refusal(
            name,
            f"scl_slope {header['scl_slope']} with scl_inter {header['scl_inter']}",
            "finite ones",
            "Repair the header",
        ) from None
    return (1.0, 0.0) if slope is None else (float(slope), float(intercept or 0.0))


def _affine(header: Any, name: str, notes: list[str]) -> NDArray[np.float64]:
    """Array index (k,j,i) to LPS mm."""
    sform, qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    try:
        ras = np.asarray(header.get_best_affine(), np.float64)
        same = not (sform and qform) or bool((np.abs(ras - header.get_qform()) <= 1e-2).all())
    except (HeaderDataError, ValueError):
        found = "the quaternion in its header is none"
        raise refusal(name, found, "a rotation", "Repair the header before building", GeometryError) from None
    if not sform and not qform:
        notes.append("no position or orientation in the header (sform and qform codes 0): LAS axes assumed")
    elif not same:
        notes.append("sform and qform differ; the sform was used")
    unit = int(header["xyzt_units"]) % 8
    factor = _MM.get(unit, 1.0)
    if factor != 1.0:
        notes.append(f"lengths are in {'m' if unit == 1 else 'µm'} in the header and were converted to mm")
    lps: NDArray[np.float64] = (_RAS_TO_LPS @ ras)[:, [2, 1, 0, 3]]
    lps[:3] *= factor
    return lps
