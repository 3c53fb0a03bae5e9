"""Windows: which values of a CT, in HU, or of a PET, in SUV, become black and white."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fve_pipeline.errors import IntensityError

__all__ = ["WINDOWS", "Window", "parse_window", "wants_suv"]


@dataclass(frozen=True, slots=True)
class Window:
    """A window, of HU or (``suv``) of SUV: ``level`` ± half of ``width``."""

    name: str
    width: float
    level: float

    @property
    def suv(self) -> bool:
        """Whether its values are standardised uptake values of a PET."""
        return self.name.startswith("suv_")

    @property
    def lower(self) -> float:
        """The value that becomes 0."""
        return self.level - self.width / 2

    @property
    def upper(self) -> float:
        """The value that becomes 255."""
        return self.level + self.width / 2

    def __str__(self) -> str:
        if self.suv:
            return f"{self.name} (SUV {self.lower:g} to {self.upper:g})"
        return f"{self.name} (width {self.width:g}, level {self.level:g})"


WINDOWS: Mapping[str, Window] = MappingProxyType(
    {
        window.name: window
        for window in (
            Window("soft_tissue", 400, 40),
            Window("lung", 1500, -160),  # the paper's level; radiologists commonly use about −600
            Window("lung_radiology", 1500, -600),
            Window("brain", 80, 40),
            Window("bone", 1800, 400),
        )
    }
)


def parse_window(name: str) -> Window:
    """Return a window by its name in ``WINDOWS``, from "width/level" in HU, such as "400/40", or from "suv_0-10".

    Raises IntensityError for anything else.
    """
    if name in WINDOWS:
        return WINDOWS[name]
    uptake = re.fullmatch(r"suv_(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", name)
    if uptake is not None and float(uptake[2]) > (low := float(uptake[1])):
        return Window(name, float(uptake[2]) - low, (low + float(uptake[2])) / 2)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*(-?\d+(?:\.\d+)?)\s*", name)
    if match is None or float(match[1]) <= 0:
        msg = f"unknown window {name!r}; expected one of {', '.join(WINDOWS)}, width/level such as 400/40, or suv_0-10"
        raise IntensityError(msg)
    return Window(name.strip(), float(match[1]), float(match[2]))


def wants_suv(window: str | None) -> bool:
    """Return whether a window is one of PET's uptake, so that the image is to be read as SUV."""
    return window is not None and parse_window(window).suv
