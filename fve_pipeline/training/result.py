"""How a run ended, for who started it and for the queue that may start it again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fve_pipeline.files.atomic import write_whole
from fve_pipeline.training.stopping import StopReason

__all__ = ["TrainResult", "mark_requeue", "unmark_requeue"]

# In a run's folder: a signal or the run's own limit stopped it, and it goes on when it is started again. A script can
# ask for it where a launcher hides the exit code.
_REQUEUE = "requeue"


@dataclass(frozen=True)
class TrainResult:
    """Steps done, the last loss, the last validation's scores by class, the newest checkpoint; why it was stopped."""

    steps: int
    loss: float
    scores: dict[str, dict[str, float | int | None]]
    checkpoint: Path | None
    stopped: StopReason = ""


def mark_requeue(out: Path, step: int) -> None:
    """Say in a run's folder that it waits to be started again."""
    with write_whole(out / _REQUEUE) as file:
        file.write(f"stopped after step {step}\n".encode())


def unmark_requeue(out: Path) -> None:
    """Take that back, where it was said."""
    (out / _REQUEUE).unlink(missing_ok=True)
