"""Memory for batches: used again once nobody holds it, pinned where a GPU copies from it."""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Allocate", "BufferPool", "fresh", "in_shared_memory"]


class Allocate(Protocol):
    """Gives an uninitialised contiguous tensor on the CPU."""

    def __call__(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return memory of this shape, which may hold anything."""
        ...


def fresh(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return a new tensor."""
    return torch.empty(shape, dtype=dtype)


def in_shared_memory(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return a new tensor in shared memory: a worker's batch goes to its parent without another copy."""
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
        self._owners: defaultdict[tuple[tuple[int, ...], torch.dtype], list[NDArray[Any]]] = defaultdict(list)

    def __reduce__(self) -> tuple[type[BufferPool], tuple[bool]]:
        return BufferPool, (self._pinned,)

    def __call__(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return memory of this shape, which may hold anything."""
        return torch.from_numpy(self.array(shape, dtype))

    def array(self, shape: tuple[int, ...], dtype: torch.dtype) -> NDArray[Any]:
        """Return the memory as an array."""
        with self._lock:
            owners = self._owners[shape, dtype]
            for owner in owners:
                if sys.getrefcount(owner) == _UNUSED:
                    # The view is made while the lock is held: it is what marks its owner as used.
                    return owner[:]
            owner = torch.empty(shape, dtype=dtype, pin_memory=self._pinned).numpy()
            owners.append(owner)
            return owner[:]


# What sys.getrefcount says of an array that a list alone holds, while a loop looks at it.
_UNUSED = next(sys.getrefcount(owner) for owner in [np.empty(0)])
