"""What work runs on, and whom it tells how far it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from fve_pipeline.runtime.executor import Executor
from fve_pipeline.runtime.progress import Progress, Silent

__all__ = ["Resources"]


@dataclass(frozen=True, slots=True)
class Resources:
    """Workers for the tasks, someone to tell of progress, and the device of the workers: ``cpu`` or ``cuda``."""

    executor: Executor
    progress: Progress = field(default_factory=Silent)
    device: str = "cpu"
