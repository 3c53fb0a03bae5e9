"""Stopping between two steps: a signal or a limit asks, and the step that runs ends before anything stops."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Literal

import torch

from fve_pipeline.training.ranks import Ranks

__all__ = ["StopReason", "StopRequest", "stop_on_signals"]

# Ctrl-C is a person's, who wants it to end; the others are a queue's, which takes the job back.
_QUEUES = (signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []))
_SIGNALS = (signal.SIGINT, *_QUEUES)

StopReason = Literal["", "interrupted", "requeue"]


@dataclass
class StopRequest:
    """What this process was asked: Ctrl-C, or a queue's signal; or ``deadline`` (monotonic seconds) has come."""

    deadline: float | None = None
    interrupted: bool = False
    requeue: bool = False

    def agreed(self, ranks: Ranks) -> StopReason:
        """Return why all ranks stop at this step, whichever of them was asked; empty if none was."""
        late = self.deadline is not None and time.monotonic() >= self.deadline
        own = torch.tensor([self.interrupted, self.requeue or late], dtype=torch.float32, device=ranks.device)
        interrupted, requeue = ranks.sum(own).tolist()
        return "interrupted" if interrupted else "requeue" if requeue else ""


@contextmanager
def stop_on_signals(seconds: float | None = None) -> Iterator[StopRequest]:
    """Note SIGINT, SIGTERM and SIGUSR1 instead of dying of them, the second one is obeyed at once; and a limit.

    Outside of the main thread, where signals cannot be had, the limit alone is kept.
    """
    request = StopRequest(None if seconds is None else time.monotonic() + seconds)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (a handler's signature)
        if number in _QUEUES:
            request.requeue = True
        else:
            request.interrupted = True
        for one, handler in before.items():
            signal.signal(one, handler)

    for number in _SIGNALS:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
