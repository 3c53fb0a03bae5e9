"""In which numbers a run computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

__all__ = ["Precision"]


@dataclass(frozen=True)
class Precision:
    """``half``: bf16 under autocast, master weights in float32; ``short``: TF32 for float32's products on a GPU."""

    half: bool
    short: bool

    @classmethod
    def of(cls, name: Literal["auto", "bf16", "tf32", "float32"], device: str) -> Precision:
        """Return what a configuration's word stands for on a device; ``auto`` is bf16 on a GPU, else float32."""
        return cls(name == "bf16" or (name == "auto" and device == "cuda"), name == "tf32")

    def autocast(self, device: str) -> torch.autocast:
        """Return the context of a forward pass."""
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.half)

    @contextmanager
    def products(self) -> Iterator[None]:
        """Set how float32 is multiplied, and set it back after: these switches are the process's."""
        before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        torch.set_float32_matmul_precision("high" if self.short else "highest")
        torch.backends.cudnn.allow_tf32 = self.short
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before[0])
            torch.backends.cudnn.allow_tf32 = before[1]
