"""Compiled kernels: where their machine code is kept, and whether a GPU gives the CPU's bytes. And codecs."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator

import numpy as np

from fve_pipeline.doctor.check import Check
from fve_pipeline.imaging.encoding import encode
from fve_pipeline.store.codec import ChunkCodec, CodecName

__all__ = ["kernel_checks"]

_CODECS: tuple[CodecName, ...] = ("lz4", "zstd", "none")


def kernel_checks() -> Iterator[Check]:
    """The cache of compiled kernels, the GPU, and a round trip through every codec."""
    yield _cache()
    yield _gpu()
    yield from _codecs()


def _cache() -> Check:
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing can be cached is what is reported here
        from fve_kernels import cpu

        encode(_volume(), 2)
    seconds = time.perf_counter() - started
    # Numba's own account of the kernel: the folder, or None where nothing could be written.
    stats = cpu._kernel.stats  # type: ignore[attr-defined]
    if stats.cache_path is None:
        advice = (
            "point NUMBA_CACHE_DIR at a folder that can be written; until then each process compiles anew"
        )
        return Check("kernels", "cache", f"none; compiled in {seconds:.1f} s", "note", advice)
    came = "loaded" if stats.cache_hits else "compiled and kept"
    return Check("kernels", "cache", f"{stats.cache_path}: {came}, {seconds:.1f} s to the first slice")


def _gpu() -> Check:
    try:
        from numba import cuda

        from fve_kernels import cuda_arrays

        if not cuda_arrays.is_available():
            return Check("kernels", "GPU", "none that numba can use; everything runs on the CPU", "note")
        name = cuda.get_current_device().name
        name = name.decode() if isinstance(name, bytes) else str(name)
        equal = np.array_equal(encode(_volume(), 3, device="cuda"), encode(_volume(), 3))
    except Exception as error:  # whatever a driver can throw is what the user wants to know
        return Check("kernels", "GPU", f"{type(error).__name__}: {error}", "problem", "use --device cpu")
    simulated = " (simulated: NUMBA_ENABLE_CUDASIM is set)" if os.environ.get("NUMBA_ENABLE_CUDASIM") else ""
    if not equal:
        advice = "use --device cpu, and report this with the card's and the driver's names"
        return Check("kernels", "GPU", f"{name}: kernels give other bytes than the CPU's", "problem", advice)
    return Check("kernels", "GPU", f"{name}{simulated}: kernels give the CPU's bytes")


def _codecs() -> Iterator[Check]:
    sample = np.asarray(encode(_volume(), 1)[:1])
    for name in _CODECS:
        codec = ChunkCodec(name, sample.shape, sample.dtype)
        chunk = bytes(codec.encode_chunk(sample))
        back = np.empty_like(sample)
        codec.decode_chunk(chunk, back)
        if np.array_equal(back, sample):
            yield Check("codecs", name, f"{sample.nbytes:,} bytes become {len(chunk):,}, and come back")
        else:
            yield Check("codecs", name, "other bytes come back", "problem", "reinstall numcodecs")


def _volume() -> np.ndarray:
    """A ramp of (9, 64, 64) uint8 that no two slices share."""
    z, y, x = np.ogrid[:9, :64, :64]
    return np.asarray((17 * z + 2 * y + x) % 256, np.uint8)
