"""Compile a kernel and keep the machine code on disk, or do without where nothing can be written."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["all_threads", "compile_kernel", "in_threads", "read_only"]

T = TypeVar("T")

_warned = False


def compile_kernel(function: Callable[..., Any], signature: Any) -> Callable[..., Any]:
    """Compile ``function`` for one signature, without the interpreter lock, cached on disk.

    The signature is fixed, so that everything that can go wrong with the cache goes wrong here: where no
    folder for it can be written (a read-only installation without a home, a full disk), one warning is given
    a process and the kernel is compiled for this process alone.
    """
    global _warned
    try:
        return numba.njit(signature, nogil=True, cache=True)(function)  # type: ignore[no-any-return]
    except (RuntimeError, OSError) as error:
        if not _warned:
            _warned = True
            warnings.warn(
                f"compiled kernels cannot be cached on disk, so each process compiles them again ({error}); "
                "point NUMBA_CACHE_DIR at a folder that can be written",
                RuntimeWarning,
                stacklevel=2,
            )
        return numba.njit(signature, nogil=True)(function)  # type: ignore[no-any-return]


def read_only(dtype: Any, ndim: int = 1) -> Any:
    """The type of a C-contiguous array that a kernel only reads; writable arrays fit it too."""
    return numba.types.Array(numba.from_dtype(np.dtype(dtype)), ndim, "C", readonly=True)


def all_threads() -> int:
    """The cores of this machine that the process may use, or NUMBA_NUM_THREADS."""
    return int(numba.config.NUMBA_NUM_THREADS)


def in_threads(threads: int, work: Callable[..., T], *arrays: NDArray[Any]) -> list[T]:
    """Cut arrays along their first axis into one run a thread, and ``work`` on the runs; results in order.

    Plain threads over kernels that release the interpreter lock: unlike numba's parallel loops they may be
    started from several threads at once.
    """
    size = len(arrays[0])
    runs = min(threads, size)
    if runs < 2:
        return [work(*arrays)]
    cuts = [slice(size * run // runs, size * (run + 1) // runs) for run in range(runs)]
    with ThreadPoolExecutor(runs) as pool:
        return list(pool.map(lambda cut: work(*(array[cut] for array in arrays)), cuts))
