"""What the options of ``fve predict`` say: parts, mirror images, views and devices."""

from __future__ import annotations

import re

import typer

__all__ = ["axes_of", "device_of", "part_of", "views_of"]


def part_of(part: str | None) -> tuple[int, int]:
    """Return the place of the first volume, counted from 0, and the step to the next."""
    if part is None:
        return 0, 1
    found = re.fullmatch(r"(\d+)/(\d+)", part)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise typer.BadParameter(
            f"{part!r}; expected i/n with i from 1 to n, such as 2/4", param_hint="--part"
        )
    return int(found[1]) - 1, int(found[2])


def axes_of(flips: str) -> tuple[int, ...]:
    """Return the LPS axes (0 z, 1 y, 2 x) of ``--flips``."""
    names = [name for name in flips.replace(" ", "").split(",") if name]
    if any(name not in ("x", "y", "z") for name in names) or len(set(names)) < len(names):
        raise typer.BadParameter(f"{flips!r}; expected x, y, z, each at most once", param_hint="--flips")
    return tuple("zyx".index(name) for name in names)


def views_of(views: str | None) -> tuple[str, ...] | None:
    """Return the views of ``--views``; None where none is given."""
    from fve_pipeline.imaging.views import VIEWS

    if views is None:
        return None
    names = views.replace(" ", "").split(",")
    if any(name not in VIEWS for name in names) or len(set(names)) < len(names):
        raise typer.BadParameter(
            f"{views!r}; expected {', '.join(VIEWS)}, each at most once", param_hint="--views"
        )
    return tuple(names)


def device_of(name: str | None) -> str:
    """Return the device of ``--device``: a GPU where there is one and none is given."""
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError:
        kind = name
    if kind not in ("cpu", "cuda"):
        raise typer.BadParameter(f"{name!r}; expected cpu or cuda", param_hint="--device")
    if kind == "cuda" and not torch.cuda.is_available():
        raise typer.BadParameter(f"{name!r}: torch finds no GPU here", param_hint="--device")
    return name
