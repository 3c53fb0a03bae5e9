"""How long work says where it is, without knowing who watches."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """Told of stages and of what is done in them."""

    def stage(self, name: str, total: int, unit: str) -> None:
        """Begin a stage of ``total`` units."""

    def advance(self, count: int = 1) -> None:
        """``count`` more units of the current stage are done."""

    def note(self, text: str) -> None:
        """Something the user should see now."""


class Silent:
    """Nobody watches."""

    def stage(self, name: str, total: int, unit: str) -> None:
        """Nothing is shown."""

    def advance(self, count: int = 1) -> None:
        """Nothing is shown."""

    def note(self, text: str) -> None:
        """Nothing is shown."""
