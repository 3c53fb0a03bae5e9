"""What is asked of a prediction: classes, and how grey values become 0..255, from a catalog or from options."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from fve_pipeline.catalog import Catalog
    from fve_pipeline.prediction.prompts import Target
    from fve_pipeline.prediction.sources import Intensity

__all__ = ["asked", "with_options"]


def asked(
    prompts: list[str], described: Catalog | None, rendition: str | None, allow_pickle: bool
) -> tuple[tuple[Target, ...] | None, Intensity, bool]:
    """Targets, what the catalog says of grey values, and whether its labels are instances."""
    from fve_pipeline.prediction.prompts import targets_from_catalog, targets_from_prompts
    from fve_pipeline.prediction.sources import Intensity

    if described is None:
        if not prompts and allow_pickle:
            return None, Intensity(), False
        if not prompts:
            msg = "say what to look for: --prompts, --catalog, or --allow-pickle for the challenge's files"
            raise typer.BadParameter(msg)
        return targets_from_prompts(prompts), Intensity(rendition=rendition), False
    by_name = {one.name: one for one in described.renditions}
    if rendition is not None and rendition not in by_name:
        msg = f"{rendition!r} is none of {', '.join(by_name) or 'this catalog, which has no renditions'}"
        raise typer.BadParameter(msg, param_hint="--rendition")
    if rendition is None and len(by_name) > 1:
        msg = f"catalog {described.name!r} has several: choose one of {', '.join(by_name)}"
        raise typer.BadParameter(msg, param_hint="--rendition")
    chosen = by_name[rendition] if rendition else next(iter(by_name.values()), None)
    grey = Intensity(
        modality=described.modality,
        window=described.window if chosen is None else chosen.window,
        channel=None if chosen is None else chosen.channel,
        scaled=described.scaled,
        rendition=None if chosen is None else chosen.name,
        member=described.layout.image_member,
        percentiles_over=described.percentiles_over,
    )
    only = None if chosen is None else chosen.classes
    return targets_from_catalog(described, prompts, only), grey, described.instance


def with_options(
    base: Intensity,
    modality: str | None,
    window: str | None,
    channel: int | None,
    nonfinite: float | None,
    resample_tilt: bool,
) -> Intensity:
    """What the options say goes before what the catalog says."""
    return replace(
        base,
        modality=modality or base.modality,
        window=window or base.window,
        channel=base.channel if channel is None else channel,
        nonfinite=nonfinite,
        resample_tilt=resample_tilt,
    )
