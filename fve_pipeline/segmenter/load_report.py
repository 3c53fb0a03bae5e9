"""What a weights file gave a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["LoadReport"]


@dataclass(frozen=True)
class LoadReport:
    """What a file gave a model: names that fit, that either lacks, or that have another shape.

    ``rounded`` are the types of fewer bits than float32 in which it stores weights, such as bfloat16.
    """

    path: Path
    layout: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]
    dropped: tuple[str, ...]
    rounded: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether file and model hold exactly the same names and shapes."""
        return not (self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        parts = [f"{self.path}: {self.layout} layout, {len(self.loaded)} tensors fit"]
        for what in ("missing", "unexpected", "reshaped", "dropped"):
            names = getattr(self, what)
            if names:
                shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
                parts.append(f"{len(names)} {what}: {shown}")
        if self.rounded:
            parts.append(f"stored as {', '.join(self.rounded)}: rounded, and computed with in float32")
        return "; ".join(parts)
