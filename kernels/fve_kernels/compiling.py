"""Compile a kernel and keep the machine code on disk, or do without where nothing can be written."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numba

__all__ = ["compile_kernel"]

_warned = False


def compile_kernel(function: Callable[..., Any], *signatures: Any) -> Callable[..., Any]:
    """Compile ``function`` for the signatures given, without the interpreter lock, cached on disk.

    The signatures are fixed, so that everything that can go wrong with the cache goes wrong here: where no
    folder for it can be written (a read-only installation without a home, a full disk), one warning is given
    a process and the kernel is compiled for this process alone.
    """
    global _warned
    try:
        return numba.njit(list(signatures), nogil=True, cache=True)(function)  # type: ignore[no-any-return]
    except (RuntimeError, OSError) as error:
        if not _warned:
            _warned = True
            warnings.warn(
                f"compiled kernels cannot be cached on disk, so each process compiles them again ({error}); "
                "point NUMBA_CACHE_DIR at a folder that can be written",
                RuntimeWarning,
                stacklevel=2,
            )
        return numba.njit(list(signatures), nogil=True)(function)  # type: ignore[no-any-return]
