"""Memory for batches: used again once nobody holds it, pinned where a GPU copies from it."""

from __future__ import annotations

import sys
import threading
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Allocate", "BufferPool", "fresh", "in_shared_memory"]


class Allocate(Protocol):
    """Gives an uninitialised contiguous tensor on the CPU."""

    def __call__(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor: ...


def fresh(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A new tensor."""
    return torch.empty(shape, dtype=dtype)


def in_shared_memory(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A new tensor in shared memory: a worker's batch goes to its parent without another copy."""
    size = dtype.itemsize * int(np.prod(shape))
    storage = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]  # as torch's collate does
    whole: Tensor = torch.empty(0, dtype=dtype).set_(storage)
    return whole.view(shape)


class BufferPool:
    """Tensors whose memory is used again when no tensor or array made from them is left.

    Giving each batch new memory costs as much as decoding into it: the system clears every page. Memory is free
    when only the pool refers to it; whoever keeps a batch keeps its memory, and the pool makes more. Safe
    across threads.
    """

    def __init__(self, pinned: bool = False) -> None:
        self._pinned = pinned
        self._lock = threading.Lock()
        self._owners: dict[tuple[tuple[int, ...], torch.dtype], list[NDArray[Any]]] = {}

    def __reduce__(self) -> tuple[type[BufferPool], tuple[bool]]:
        return BufferPool, (self._pinned,)

    def __call__(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        with self._lock:
            owners = self._owners.setdefault((shape, dtype), [])
            for i in range(len(owners)):
                if sys.getrefcount(owners[i]) == _UNUSED:
                    break
            else:
                i = len(owners)
                owners.append(torch.empty(shape, dtype=dtype, pin_memory=self._pinned).numpy())
            # The view is made while the lock is held: it is what marks its owner as used.
            return torch.from_numpy(owners[i][:])


_probe = [np.empty(0)]
# What sys.getrefcount says of an array that a list alone holds.
_UNUSED = sys.getrefcount(_probe[0])
