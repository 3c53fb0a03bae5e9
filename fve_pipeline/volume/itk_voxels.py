"""Voxels of the plain kinds of NRRD and MetaImage files, without SimpleITK.

One block in the same file, raw or deflated. Every other kind (data files of their own, text, bzip2, several
channels) is left to SimpleITK.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
from isal import igzip
from numpy.typing import NDArray

from fve_pipeline.volume.inflate import check_size, fill_array, inflate_zlib

__all__ = ["read_plain_voxels"]

_LONGEST = 1 << 16  # bytes of a header; longer ones are left to SimpleITK


def read_plain_voxels(
    path: Path, shape: tuple[int, int, int], dtype: np.dtype[Any], name: str
) -> NDArray[Any] | None:
    """Return the (z,y,x) voxels of type ``dtype``; None for files that SimpleITK must read."""
    expected = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    with path.open("rb") as file:
        check_size(path.stat().st_size, expected, name, deflated=True)
        if file.read(4) == b"NRRD":
            return _nrrd(file, shape, dtype, name)
        return _meta(file, shape, dtype, name)


def _nrrd(
    file: IO[bytes], shape: tuple[int, int, int], dtype: np.dtype[Any], name: str
) -> NDArray[Any] | None:
    file.seek(0)
    fields: dict[str, str] = {}
    while (line := file.readline(_LONGEST)) not in (b"\n", b"\r\n"):
        if not line or file.tell() > _LONGEST:
            return None
        key, _, value = line.decode("latin-1").partition(":")
        fields[key.strip().lower()] = value.strip().lower()
    sizes = " ".join(map(str, reversed(shape)))
    skips = {"data file", "datafile", "byte skip", "byteskip", "line skip", "lineskip"} & fields.keys()
    if fields.get("sizes") != sizes or skips:
        return None
    stored = dtype.newbyteorder(">" if fields.get("endian") == "big" else "<")
    if fields.get("encoding") == "raw":
        return fill_array(file, 0, shape, stored, name, gzipped=False)
    if fields.get("encoding") in ("gzip", "gz"):
        with igzip.IGzipFile(fileobj=file, mode="rb") as stream:
            return fill_array(stream, 0, shape, stored, name, gzipped=True)
    return None


def _meta(
    file: IO[bytes], shape: tuple[int, int, int], dtype: np.dtype[Any], name: str
) -> NDArray[Any] | None:
    file.seek(0)
    fields: dict[str, str] = {}
    while "elementdatafile" not in fields:
        line = file.readline(_LONGEST)
        if not line or file.tell() > _LONGEST:
            return None
        key, _, value = line.decode("latin-1").partition("=")
        fields[key.strip().lower()] = value.strip().lower()
    local = fields["elementdatafile"] == "local" and fields.get("binarydata", "true") == "true"
    if not local or fields.get("dimsize") != " ".join(map(str, reversed(shape))) or "headersize" in fields:
        return None
    big = "true" in (fields.get("binarydatabyteordermsb"), fields.get("elementbyteordermsb"))
    stored = dtype.newbyteorder(">" if big else "<")
    if fields.get("compresseddata") == "true":
        return inflate_zlib(file, shape, stored, name)
    return fill_array(file, 0, shape, stored, name, gzipped=False)
