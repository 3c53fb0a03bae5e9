"""A DICOM file's pixels: uncompressed ones from its bytes, compressed ones through SimpleITK's GDCM."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from fve_pipeline.volume.dicom_header import NOT_IMAGES, FileHeader
from fve_pipeline.volume.refusal import refusal, truncated

__all__ = ["check_pixels", "check_whole", "decode_file", "read_pixels"]

_LONG_VR = {b"OB", b"OW", b"UN", b"OF", b"OD"}


def check_pixels(header: FileHeader) -> None:
    """Raise ReadError where a file's pixels are none that a volume is made of; reads nothing."""
    name = header.name
    if not header.is_image:
        raise refusal(
            name,
            f"a DICOM object of modality {header.modality}, which is no image",
            "image slices",
            "Name the folder (or file) of the images",
        )
    if header.samples != 1 or header.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise refusal(
            name,
            f"a colour picture ({header.photometric}, {header.samples} samples a pixel)",
            "one grey value a pixel",
            "Give the scan, not a rendering",
        )
    if header.allocated not in (8, 16, 32):
        raise refusal(name, f"{header.allocated} bits a pixel", "8, 16 or 32", "Export the series again")


def check_whole(header: FileHeader) -> None:
    """Raise ReadError for a file that ends before its pixels do, as far as its header and size tell."""
    name = header.name
    if not header.is_image:
        if header.modality in NOT_IMAGES:
            return
        found = f"cut short before its image size (modality {header.modality})"
        raise refusal(name, found, "a whole DICOM file", "Export or download it again")
    if header.syntax == pydicom.uid.DeflatedExplicitVRLittleEndian:
        return
    if header.pixels_at is None:
        found = f"the header promises {header.rows}×{header.columns} pixels, but there is no pixel data"
        raise refusal(name, found, "it at the file's end", "Export or download the file again")
    if header.compressed:
        with header.path.open("rb") as file:
            file.seek(header.pixels_at)
            _element_length(file, header.syntax)
            _check_fragments(file, name)
    else:
        each = header.rows * header.columns * header.samples * header.allocated // 8
        head = 8 if header.syntax == pydicom.uid.ImplicitVRLittleEndian else 12
        expected = header.pixels_at + head + each * len(header.frames)
        if (size := header.path.stat().st_size) < expected:
            raise truncated(name, size, expected)


def read_pixels(header: FileHeader) -> tuple[NDArray[Any], bool]:
    """((frame, row, column), whether slope and intercept are applied already)."""
    name = header.name
    if header.pixels_at is None:  # a deflated file: only pydicom can tell where its pixels are
        data = pydicom.dcmread(header.path).get("PixelData") or b""
        return _native(io.BytesIO(data), len(data), header, name), False
    if header.compressed:
        return _decode(header, name), True
    with header.path.open("rb") as file:
        file.seek(header.pixels_at)
        length = _element_length(file, header.syntax)
        return _native(file, length, header, name), False


def _element_length(file: IO[bytes], syntax: str) -> int:
    order = "big" if syntax == pydicom.uid.ExplicitVRBigEndian else "little"
    head = file.read(8)
    if syntax != pydicom.uid.ImplicitVRLittleEndian and head[4:6] in _LONG_VR:
        return int.from_bytes(file.read(4), order)  # type: ignore[arg-type]
    return int.from_bytes(head[4:8], order)  # type: ignore[arg-type]


def _native(file: IO[bytes], length: int, header: FileHeader, name: str) -> NDArray[Any]:
    dtype = header.stored_type
    count = len(header.frames) * header.rows * header.columns
    expected = count * dtype.itemsize
    data = file.read(min(expected, length))
    if len(data) < expected:
        raise refusal(
            name, f"truncated, {len(data)} of {expected} bytes of pixels", "all of them", "Export it again"
        )
    pixels = np.frombuffer(data, dtype, count).reshape(len(header.frames), header.rows, header.columns)
    spare = header.allocated - header.stored
    if not 0 < spare < header.allocated:
        return pixels
    # Bits above the stored ones may hold overlays, or nothing where a sign should be.
    native = pixels.astype(dtype.newbyteorder("="))
    native <<= spare
    native >>= spare
    return native


def _check_fragments(file: IO[bytes], name: str) -> None:
    """Walk the compressed fragments: each must be whole, and the sequence must end."""
    size = file.seek(0, io.SEEK_END) if (here := file.tell()) else 0
    file.seek(here)
    while True:
        item = file.read(8)
        length = int.from_bytes(item[4:8], "little")
        if item[:4] == b"\xfe\xff\xdd\xe0":
            return
        if item[:4] != b"\xfe\xff\x00\xe0" or file.tell() + length > size:
            raise refusal(
                name,
                f"truncated or damaged compressed pixels at byte {file.tell() - len(item)} of {size}",
                "whole fragments and an end mark",
                "Export or download it again",
            )
        file.seek(length, io.SEEK_CUR)


def _decode(header: FileHeader, name: str) -> NDArray[Any]:
    if len({(f.slope, f.intercept) for f in header.frames}) > 1:
        raise refusal(
            name,
            "compressed frames with slopes that differ by frame",
            "one slope a file",
            "Decompress the file first (dcmdjpeg, gdcmconv --raw)",
        )
    array = decode_file(header.path)
    if array is None:
        kind = pydicom.uid.UID(header.syntax).name
        raise refusal(
            name,
            f"its pixels ({kind}) can't be decoded",
            "a readable stream",
            "Export it again, uncompressed",
        )
    expected = (len(header.frames), header.rows, header.columns)
    if array.size != np.prod(expected):
        raise refusal(
            name, f"decoding gave {array.shape} pixels", f"{expected} (frame, row, column)", "Export it again"
        )
    frames: NDArray[Any] = array.reshape(expected)
    return frames


def decode_file(path: Path) -> NDArray[Any] | None:
    """Return a compressed file's pixels as GDCM decodes them (RLE, JPEG, JPEG-LS, JPEG 2000); None where it cannot."""
    from fve_pipeline.volume.quiet_itk import sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        array: NDArray[Any] = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError:
        return None
    return array
