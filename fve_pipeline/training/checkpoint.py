"""Checkpoints of a run: written whole or not at all, the last few kept, the best one beside them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fve_pipeline.files.atomic import sweep_partials, write_whole

__all__ = ["CheckpointFolder", "save_checkpoint"]

_NAME = re.compile(r"step-(\d{8})\.pt")


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint so that a kill at any moment leaves the old file or the new one."""
    with write_whole(path) as file:
        torch.save(content, file)


@dataclass(frozen=True)
class CheckpointFolder:
    """``step-NNNNNNNN.pt`` files in ``path``, of which the newest ``keep`` stay, and ``best.pt``."""

    path: Path
    keep: int

    def steps(self) -> list[int]:
        """Steps that are there, oldest first."""
        found = [_NAME.fullmatch(file.name) for file in self.path.glob("step-*.pt")]
        return sorted(int(match[1]) for match in found if match)

    def file(self, step: int) -> Path:
        """Where the checkpoint of ``step`` lies."""
        return self.path / f"step-{step:08d}.pt"

    def newest(self) -> Path | None:
        """The latest checkpoint, if any."""
        steps = self.steps()
        return self.file(steps[-1]) if steps else None

    def save(self, step: int, content: dict[str, Any]) -> Path:
        """Write the checkpoint of ``step`` and drop those that are too many, and leftovers of a kill."""
        self.path.mkdir(parents=True, exist_ok=True)
        target = self.file(step)
        save_checkpoint(target, content)
        for old in self.steps()[: -self.keep]:
            self.file(old).unlink()
        sweep_partials(self.path)
        return target
