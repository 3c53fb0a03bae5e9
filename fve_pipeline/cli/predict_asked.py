"""What is asked of a prediction: classes, and how grey values become 0..255, from a catalog or from options."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from fve_pipeline.catalog import Catalog
    from fve_pipeline.prediction.pictures import Intensity
    from fve_pipeline.prediction.prompts import Target
    from fve_pipeline.prediction.request import Shown

__all__ = [
    "Form",
    "Instances",
    "Overlaps",
    "PrecisionChoice",
    "archive_form",
    "asked",
    "asked_of_each",
    "with_options",
]


class PrecisionChoice(Enum):
    """What the network computes in, as a choice on the command line."""

    float32 = "float32"
    bf16 = "bf16"


class Instances(Enum):
    """What becomes of a mask of instances, as a choice on the command line."""

    split = "split"
    merged = "merged"


class Form(Enum):
    """What the label maps of DICOM series are written as, as a choice on the command line."""

    nifti = "nifti"
    seg = "seg"
    rtstruct = "rtstruct"


class Overlaps(Enum):
    """Whether classes are also written each for itself, as a choice on the command line."""

    merge = "merge"
    keep = "keep"
    layers = "layers"


def archive_form(form: Form, overlaps: Overlaps) -> str | None:
    """Return the ending of label maps that go back to an archive; None for NIfTI.

    Raises ModuleNotFoundError before anything is predicted where the package that writes them is not there.
    """
    from fve_pipeline.prediction.sources import DICOM_ENDINGS

    if form is Form.nifti:
        return None
    if overlaps is Overlaps.layers:
        msg = f"in {form.value} every class is apart as it is; give keep, or leave it out"
        raise typer.BadParameter(msg, param_hint="--overlaps")
    import_module("highdicom" if form is Form.seg else "contourpy")
    return DICOM_ENDINGS[form.value]


def asked(
    prompts: list[str], described: Catalog | None, rendition: str | None, allow_pickle: bool
) -> tuple[tuple[Target, ...] | None, tuple[Shown, ...], bool]:
    """Targets, in which ways the volume is shown for which of them, and whether labels are instances.

    A catalog's renditions are all shown, each with the classes that it is meant for, unless one is named.
    """
    from fve_pipeline.prediction.pictures import Intensity
    from fve_pipeline.prediction.prompts import targets_from_catalog, targets_from_prompts
    from fve_pipeline.prediction.request import Shown

    if described is None:
        if not prompts and allow_pickle:
            return None, (Shown(Intensity()),), False
        if not prompts:
            msg = "say what to look for: --prompts, --catalog, or --allow-pickle for the challenge's files"
            raise typer.BadParameter(msg)
        return targets_from_prompts(prompts), (Shown(Intensity(rendition=rendition)),), False
    by_name = {one.name: one for one in described.renditions}
    if rendition is not None and rendition not in by_name:
        msg = f"{rendition!r} is none of {', '.join(by_name) or 'this catalog, which has no renditions'}"
        raise typer.BadParameter(msg, param_hint="--rendition")
    plain = _intensity(described)
    if not by_name:
        return targets_from_catalog(described, prompts), (Shown(plain),), described.instance
    chosen = [by_name[rendition]] if rendition is not None else list(described.renditions)
    meant = (
        None
        if any(one.classes is None for one in chosen)
        else {i for one in chosen for i in one.classes or ()}
    )
    targets = targets_from_catalog(described, prompts, None if meant is None else sorted(meant))
    shown = []
    for one in chosen:
        places = tuple(
            place
            for place, target in enumerate(targets)
            if one.classes is None or target.class_id in one.classes
        )
        if places:
            grey = replace(plain, window=one.window, channel=one.channel, rendition=one.name)
            shown.append(Shown(grey, places))
    return targets, tuple(shown), described.instance


def asked_of_each(
    described: Catalog | None, roots: list[Path], rendition: str | None, swap: int | None
) -> tuple[dict[Path, tuple[Target, ...]], tuple[Shown, ...]]:
    """Return the findings of each case by its image, numbered from 1, and how the volumes are shown for them.

    They are looked for in one rendition, the first unless one is named. With ``swap``, a seed, each finding is asked for by
    the sentence of another one; one that has no other to be mistaken for is left out.
    """
    from fve_pipeline.catalog.discover import discover
    from fve_pipeline.loading.findings import swapped
    from fve_pipeline.prediction.prompts import Target
    from fve_pipeline.prediction.request import Shown

    if described is None or described.findings is None:
        said = (
            "a catalog with [findings] is needed"
            if described is None
            else f"{described.name} has no [findings]"
        )
        raise typer.BadParameter(said, param_hint="--findings")
    if strange := [root for root in roots if not root.is_dir()]:
        msg = f"{strange[0]} is no folder: give the data set's, where its table of findings is"
        raise typer.BadParameter(msg, param_hint="INPUTS")
    found = [
        (root / case.image, number, one.texts)
        for root in roots
        for case in discover(described, root)
        for number, one in enumerate(case.findings, 1)
    ]
    texts = [said[0] for _, _, said in found] if swap is None else swapped([said for *_, said in found], swap)
    targets: dict[Path, tuple[Target, ...]] = {}
    for (image, number, _), text in zip(found, texts, strict=True):
        if text is not None:
            targets[image] = (*targets.get(image, ()), Target(number, text, text))
    named = {one.name: one for one in described.renditions}
    if rendition is not None and rendition not in named:
        msg = f"{rendition!r} is none of {', '.join(named) or 'this catalog, which has no renditions'}"
        raise typer.BadParameter(msg, param_hint="--rendition")
    grey = _intensity(described)
    if named:
        one = named[rendition or next(iter(named))]
        grey = replace(grey, window=one.window, channel=one.channel, rendition=one.name)
    return targets, (Shown(grey),)


def _intensity(described: Catalog) -> Intensity:
    from fve_pipeline.prediction.pictures import Intensity

    return Intensity(
        modality=described.modality,
        window=described.window,
        scaled=described.scaled,
        member=described.layout.image_member,
        percentiles_over=described.percentiles_over,
    )


def with_options(
    shown: tuple[Shown, ...],
    modality: str | None,
    window: str | None,
    channel: int | None,
    nonfinite: float | None,
    resample_tilt: bool,
) -> tuple[Shown, ...]:
    """Put what the options say before what the catalog says.

    Raises typer.BadParameter for a window or a channel where several renditions have their own.
    """
    if len(shown) > 1 and (window is not None or channel is not None):
        names = ", ".join(one.intensity.rendition or "" for one in shown)
        hint = "--window" if window is not None else "--channel"
        raise typer.BadParameter(
            f"the catalog has several renditions ({names}), each with its own", param_hint=hint
        )

    def changed(base: Intensity) -> Intensity:
        return replace(
            base,
            modality=modality or base.modality,
            window=window or base.window,
            channel=base.channel if channel is None else channel,
            nonfinite=nonfinite,
            resample_tilt=resample_tilt,
        )

    return tuple(replace(one, intensity=changed(one.intensity)) for one in shown)
