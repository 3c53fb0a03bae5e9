"""The challenge's npz: ``imgs`` and ``gts`` (z,y,x), ``spacing`` (x,y,z) in mm.

Members are inflated by ISA-L (numpy's way, zipfile with zlib, takes twice the time) and checked against the
archive's crc32. Nothing is ever unpickled.
"""

from __future__ import annotations

import io
import math
import zipfile
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from isal import isal_zlib
from numpy.lib import format as npy

from fve_pipeline.errors import ReadError
from fve_pipeline.volume.arrays import describe_array
from fve_pipeline.volume.inflate import INFLATE_ERRORS, check_size
from fve_pipeline.volume.refusal import damage_named, refusal
from fve_pipeline.volume.types import Raw

__all__ = ["list_arrays", "read_npz"]


def read_npz(path: Path, name: str, *, member: str, channel: int | None, voxels: bool) -> Raw:
    """Read one member of an npz, or (``voxels`` False) its header only."""
    with _whole(name), path.open("rb") as file, zipfile.ZipFile(file) as archive:
        info = _find(archive, member, name)
        with archive.open(info) as stream:
            shape, fortran, dtype, start = _npy_header(stream, member, name)
        spacing, notes = _spacing(archive, name)
        raw = describe_array(name, member, shape, dtype, spacing, channel, strict=voxels)
        raw.notes.extend(notes)
        if voxels:
            count = math.prod(shape)
            _check_promise(info, start + count * dtype.itemsize, name)
            data = _inflate(file, info, name)
            array = np.frombuffer(data, dtype, offset=start, count=count)
            array = array.reshape(shape, order="F" if fortran else "C")
            raw.array = (array[channel or 0] if len(shape) == 4 else array).reshape(raw.shape)
        return raw


def list_arrays(path: Path, name: str) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays in an npz by their names, from their headers; pickled objects are left out."""
    found = {}
    with _whole(name), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as stream, suppress(ReadError):
                member = info.filename.removesuffix(".npy")
                found[member] = _npy_header(stream, member, name)[0]
    return found


def _whole(name: str) -> AbstractContextManager[None]:
    errors = (zipfile.BadZipFile, NotImplementedError, OSError, *INFLATE_ERRORS)
    return damage_named(name, "npz", "a whole zip archive", errors)


def _find(archive: zipfile.ZipFile, member: str, name: str) -> zipfile.ZipInfo:
    try:
        return archive.getinfo(f"{member}.npy")
    except KeyError:
        found = ", ".join(sorted(n.removesuffix(".npy") for n in archive.namelist())) or "nothing"
        advice = "Name one of those as the member"
        raise refusal(
            name, f"no array {member!r} in the npz, which holds {found}", "one of them", advice
        ) from None


def _npy_header(
    stream: IO[bytes], member: str, name: str
) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    try:
        version = npy.read_magic(stream)
        reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = reader(stream)
    except ValueError as error:
        found = f"array {member!r} has no readable npy header"
        raise refusal(name, found, "one as numpy writes it", "Save the file again with numpy") from error
    if dtype.hasobject:
        raise refusal(
            name,
            f"array {member!r} is a pickled object, which is never opened (it can run code)",
            "numbers",
            "Save it as a plain array",
        )
    return shape, fortran, dtype, stream.tell()


def _spacing(archive: zipfile.ZipFile, name: str) -> tuple[tuple[float, float, float], list[str]]:
    """(z,y,x) in mm; the file holds (x,y,z)."""
    if "spacing.npy" not in archive.namelist():
        return (1.0, 1.0, 1.0), ["no spacing in the file: 1 mm assumed"]
    info = archive.getinfo("spacing.npy")
    with archive.open(info) as stream:
        shape, _, dtype, start = _npy_header(stream, "spacing", name)
    _check_promise(info, start + math.prod(shape) * dtype.itemsize, name)
    if shape != (3,):
        found = f"spacing has shape {shape}"
        raise refusal(name, found, "three positive numbers in mm, (x,y,z)", "Correct it")
    values = np.atleast_1d(npy.read_array(io.BytesIO(archive.read("spacing.npy")), allow_pickle=False))
    if (
        values.shape != (3,)
        or values.dtype.kind not in "iuf"
        or not (np.isfinite(values) & (values > 0)).all()
    ):
        raise refusal(
            name, f"spacing is {values.tolist()}", "three positive numbers in mm, (x,y,z)", "Correct it"
        )
    x, y, z = (float(v) for v in values)
    return (z, y, x), []


def _check_promise(info: zipfile.ZipInfo, expected: int, name: str) -> None:
    """Raise ReadError where the archive and the array's own header disagree on its size in bytes."""
    if info.file_size != expected:
        found = f"npz member {info.filename} has {info.file_size} bytes"
        raise refusal(name, found, f"{expected}, as its header says", "Save the file again with numpy")


def _inflate(file: IO[bytes], info: zipfile.ZipInfo, name: str) -> bytes:
    """Return the member's bytes, checked against size and crc32."""
    check_size(info.compress_size, info.file_size, name, deflated=info.compress_type == zipfile.ZIP_DEFLATED)
    file.seek(info.header_offset)
    local = file.read(30)
    file.seek(
        info.header_offset
        + 30
        + int.from_bytes(local[26:28], "little")
        + int.from_bytes(local[28:30], "little")
    )
    data = file.read(info.compress_size)
    if info.compress_type == zipfile.ZIP_DEFLATED:
        try:
            # One byte more than promised tells a longer stream, which is not inflated any further.
            data = isal_zlib.decompressobj(wbits=-15).decompress(data, info.file_size + 1)
        except INFLATE_ERRORS as error:
            raise refusal(
                name, f"damaged npz member {info.filename} ({error})", "deflate data", "Download it again"
            ) from error
    elif info.compress_type != zipfile.ZIP_STORED:
        raise refusal(
            name,
            f"npz member {info.filename} is compressed by method {info.compress_type}",
            "deflate, as numpy writes it",
            "Save it again with numpy",
        )
    if len(data) != info.file_size or isal_zlib.crc32(data) != info.CRC:
        raise refusal(
            name,
            f"npz member {info.filename} fails its checksum ({len(data)} of {info.file_size} bytes)",
            "the bytes that were written",
            "Download it again",
        )
    return data
