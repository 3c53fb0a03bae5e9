"""What a weights file holds, and whether a model could use it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from fve_pipeline.errors import CheckpointError
from fve_pipeline.segmenter.checkpoint import compare, read_checkpoint
from fve_pipeline.segmenter.config import PRESETS, preset
from fve_pipeline.segmenter.load_report import LoadReport
from fve_pipeline.segmenter.model import Segmenter

__all__ = ["WeightsReport", "inspect_weights"]


@dataclass(frozen=True)
class WeightsReport:
    """A file against the model ``model``: ``elements`` counts numbers, ``not_finite`` names bad tensors."""

    model: str
    load: LoadReport
    elements: int
    dtypes: tuple[str, ...]
    not_finite: tuple[str, ...]
    not_floating: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def usable(self) -> bool:
        """Same names and shapes as the model, and every value a finite floating-point number."""
        return self.load.complete and not self.not_finite and not self.not_floating

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "usable": self.usable,
            **asdict(self),
            "load": {**asdict(self.load), "path": str(self.load.path)},
        }

    def text(self) -> str:
        """For people."""
        lines = [
            f"{self.load.path}: {self.load.layout} layout",
            f"{self.elements:,} numbers ({', '.join(self.dtypes)})",
            f"compared with the {self.model} model: {len(self.load.loaded)} tensors fit",
        ]
        for what in ("missing", "unexpected", "reshaped"):
            names = getattr(self.load, what)
            lines += [f"  {what}: {name}" for name in names[:20]]
            lines += [f"  … and {len(names) - 20} more {what}"] if len(names) > 20 else []
        lines += [f"  dropped (loss function, not the model): {name}" for name in self.load.dropped]
        lines += [f"  not finite: {name}" for name in self.not_finite]
        lines += [f"  not floating-point: {name}" for name in self.not_floating]
        lines += [f"rounded: stored as {name}, computed with in float32" for name in self.load.rounded]
        if self.settings:
            lines.append("trained on: " + ", ".join(f"{k} {v}" for k, v in self.settings.items()))
        lines.append("It can be used." if self.usable else "It cannot be used for this model.")
        return "\n".join(lines)


def inspect_weights(path: Path, name: str | None = None) -> WeightsReport:
    """Compare the file with preset ``name``, or with the configuration it carries, or with ``full``.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or no preset is called ``name``.
    """
    if name is not None and name not in PRESETS:
        msg = f"--preset {name}: unknown; known: {', '.join(PRESETS)}"
        raise CheckpointError(msg)
    found = read_checkpoint(path)
    config = preset(name) if name else found.config or preset("full")
    names = [known for known, value in PRESETS.items() if value == config]
    with torch.device("meta"):
        model = Segmenter(config, seed=None)
    tensors = found.state.items()
    return WeightsReport(
        model=names[0] if names else "described",
        load=compare(model, found),
        elements=sum(t.numel() for _, t in tensors),
        dtypes=tuple(sorted({str(t.dtype).removeprefix("torch.") for _, t in tensors})),
        not_finite=tuple(k for k, t in tensors if t.is_floating_point() and not bool(t.isfinite().all())),
        not_floating=tuple(k for k, t in tensors if not t.is_floating_point()),
        settings=found.settings,
    )
