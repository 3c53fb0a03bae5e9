"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Check"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was found. ``problem``: something won't work; ``note``: works, but less well or less of it.

    ``advice`` says what to do about either.
    """

    section: str
    name: str
    value: str
    status: Literal["ok", "note", "problem"] = "ok"
    advice: str = ""
