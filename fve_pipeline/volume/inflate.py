"""Bytes of a file -> an array, raw or inflated by ISA-L, which takes half the time of zlib."""

from __future__ import annotations

import zlib
from typing import IO, Any

import numpy as np
from isal import igzip, isal_zlib
from numpy.typing import NDArray

from fve_pipeline.volume.refusal import refusal, truncated

__all__ = ["INFLATE_ERRORS", "check_size", "fill_array", "inflate_zlib", "skip"]

#: What isal raises for a stream that is cut short or damaged.
INFLATE_ERRORS: Any = (EOFError, igzip.BadGzipFile, isal_zlib.error, zlib.error)
_PIECE = 1 << 22
_DEFLATED = 1 << 15  # at deflate's best these are 33 MB
_RATIO = 1040  # deflate's best is 1032:1


def check_size(found: int, expected: int, name: str, *, deflated: bool) -> None:
    """Raise ReadError for a file that can't hold what its header promises, before memory is asked for it."""
    if found * (_RATIO if deflated else 1) < expected:
        raise truncated(name, found, expected // _RATIO if deflated else expected)


def fill_array(
    stream: IO[bytes],
    start: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    name: str,
    *,
    gzipped: bool,
    after: int = 0,
) -> NDArray[Any]:
    """Return the array whose bytes lie ``start`` bytes further on in the stream.

    A gzip stream is read to its end, so that its checksum is checked and a cut download is an error; its header
    promises ``after`` bytes more than the array. A stream that goes on far beyond that is read no further.
    """
    array = np.empty(shape, dtype)
    view = memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    passed = end = 0
    try:
        passed = skip(stream, start)
        while end < len(view) and (got := stream.readinto(view[end : end + _PIECE])):  # type: ignore[attr-defined]
            end += got
        if end == len(view) and gzipped:
            over = after + _PIECE
            if skip(stream, over) == over:
                found = (
                    f"its voxels go on after the {start + len(view) + after} bytes that its header promises"
                )
                raise refusal(name, found, "their end", "Download it again, or correct the header")
    except INFLATE_ERRORS as error:
        found = f"damaged or truncated gzip stream ({str(error).rstrip('.')}) after {passed + end} bytes"
        raise refusal(name, found, f"{start + len(view)}, inflated", "Download it again") from error
    if end < len(view):
        raise truncated(name, passed + end, start + len(view))
    return array


def inflate_zlib(stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """Return the array whose bytes follow as one zlib stream, checked against its checksum."""
    array = np.empty(shape, dtype)
    view = memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    inflate = isal_zlib.decompressobj()
    end = 0
    try:
        while not inflate.eof and (piece := stream.read(_DEFLATED)):
            data = inflate.decompress(piece)
            view[end : end + len(data)] = data  # ValueError where there is more than fits
            end += len(data)
    except (*INFLATE_ERRORS, ValueError) as error:
        found = f"damaged zlib stream ({str(error).rstrip('.')}) after {end} bytes"
        raise refusal(name, found, f"{len(view)}, inflated", "Download it again") from error
    if end < len(view) or not inflate.eof:
        raise truncated(name, end, len(view))
    return array


def skip(stream: IO[bytes], count: int) -> int:
    """Read ``count`` bytes and forget them; returns how many there were."""
    done = 0
    while done < count and (piece := stream.read(min(_PIECE, count - done))):
        done += len(piece)
    return done
