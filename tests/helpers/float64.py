"""Networks in float64, where what a test compares does not hang on a processor's rounding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["in_float64"]


@contextmanager
def in_float64() -> Iterator[None]:
    """Networks made here compute in float64: two ways of summing then differ by nothing that training could grow.

    In float32 each processor rounds in its own way, and a few steps make much of it.
    """
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
