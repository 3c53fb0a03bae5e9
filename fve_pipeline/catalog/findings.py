"""What the looks at a dataset's cases add up to. Pure: no file is opened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median

from fve_pipeline.catalog.look import CaseLook
from fve_pipeline.catalog.problems import Problem
from fve_pipeline.catalog.schema import Catalog
from fve_pipeline.imaging.intensity import FEW_BELOW_ZERO

__all__ = ["duplicate_images", "look_problems"]

_SPACING_RATIO = 3.0  # from the dataset's median spacing along an axis
_HU_GAP = 300.0  # of a case's median from the dataset's median of medians
_INTENSITY_RATIO = 10.0  # of a case's bright end from the dataset's, where units are arbitrary
_FEWEST = 4  # cases below which there is no usual to be unusual against


def look_problems(catalog: Catalog, looks: Sequence[CaseLook]) -> list[Problem]:
    """Unreadable cases, unnamed ids, empty classes, moved label maps, and what stands out from the rest."""
    return [
        *_unreadable(looks),
        *_unnamed(catalog, looks),
        *_empty(catalog, looks),
        *_moved(looks),
        *_spacings(looks),
        *_intensities(looks),
        *_below_zero(catalog, looks),
        *_anatomy(looks),
    ]


def duplicate_images(looks: Sequence[CaseLook]) -> list[Problem]:
    """Images with equal voxels under different names, over all datasets given: errors when splits differ."""
    same: dict[str, list[CaseLook]] = defaultdict(list)
    for look in looks:
        if look.pixels:
            same[look.pixels].append(look)
    found = []
    for first, *others in same.values():
        for other in others:
            a, b = first.case, other.case
            leak = a.split != b.split or a.subject != b.subject
            message = f"{b.image} has the same voxels as {a.id} ({a.image})"
            if leak:
                message += ", under another subject or split: a build may train on one and judge on the other"
            found.append(
                Problem("error" if leak else "warning", "duplicate image", b.dataset, b.name, message)
            )
    return found


def _unreadable(looks: Sequence[CaseLook]) -> Iterator[Problem]:
    for look in looks:
        if look.error:
            yield Problem("error", "cannot be read", look.case.dataset, look.case.name, look.error)


def _unnamed(catalog: Catalog, looks: Sequence[CaseLook]) -> Iterator[Problem]:
    if catalog.any_id:
        return
    for look in looks:
        unnamed = {
            label: count for label, count in (look.ids or {}).items() if label not in catalog.declared_ids
        }
        if unnamed:
            said = ", ".join(f"{label} ({count:,} voxels)" for label, count in sorted(unnamed.items()))
            message = f"label id {said} has no class; name it in the catalog, or list it under ignore"
            yield Problem("error", "unnamed id", look.case.dataset, look.case.name, message)


def _empty(catalog: Catalog, looks: Sequence[CaseLook]) -> Iterator[Problem]:
    counted = [look.ids for look in looks if look.ids is not None]
    if not counted:
        return
    present = {label for ids in counted for label in ids}
    for spec in catalog.classes:
        if not present.intersection(spec.ids) if spec.ids else not present:
            message = f"no case of {len(counted)} has the class {spec.id} ({spec.name})"
            yield Problem("warning", "empty class", catalog.name, "", message)
    for look in looks:
        if look.ids is not None and not look.ids:
            yield Problem(
                "warning", "empty labels", look.case.dataset, look.case.name, "its label map is all zero"
            )


def _moved(looks: Sequence[CaseLook]) -> Iterator[Problem]:
    for look in looks:
        if look.resampled:
            message = next((note for note in look.notes if "grid" in note), "its labels lie on another grid")
            yield Problem("warning", "geometry differs", look.case.dataset, look.case.name, message)


def _spacings(looks: Sequence[CaseLook]) -> Iterator[Problem]:
    seen = [look for look in looks if look.spacing]
    if len(seen) < _FEWEST:
        return
    usual = [median(look.spacing[axis] for look in seen) for axis in range(3)]
    for look in seen:
        ratios = [value / middle for value, middle in zip(look.spacing, usual, strict=True)]
        if max(ratios) > _SPACING_RATIO or min(ratios) < 1 / _SPACING_RATIO:
            message = f"spacing {_list(look.spacing)} mm (z,y,x), the dataset's median is {_list(usual)}"
            yield Problem("warning", "unusual spacing", look.case.dataset, look.case.name, message)


def _intensities(looks: Sequence[CaseLook]) -> Iterator[Problem]:
    seen = [look for look in looks if look.percentiles]
    if len(seen) < _FEWEST:
        return
    middle = median(look.percentiles[1] for look in seen)
    bright = median(look.percentiles[2] for look in seen)
    for look in seen:
        _, own, top = look.percentiles
        hu = look.case.modality == "CT" and not look.case.scaled
        if hu and abs(own - middle) > _HU_GAP:
            message = f"median {own:g} HU, the dataset's is {middle:g}"
        elif not hu and bright > 0 and not bright / _INTENSITY_RATIO <= top <= bright * _INTENSITY_RATIO:
            message = f"99.5 % of its voxels lie below {top:g}, in the dataset's median case below {bright:g}"
        else:
            continue
        yield Problem("warning", "unusual intensities", look.case.dataset, look.case.name, message)


def _below_zero(catalog: Catalog, looks: Sequence[CaseLook]) -> Iterator[Problem]:
    """Images whose body reaches below zero, where only what lies above is asked for and kept."""
    if catalog.percentiles_over == "all":
        return
    for look in looks:
        case = look.case
        by_percentiles = case.modality != "CT" and not case.scaled and case.renditions[0].window is None
        if by_percentiles and look.below_zero > FEW_BELOW_ZERO:
            message = (
                f"{look.below_zero:.0%} of its voxels other than 0 lie below 0 and become black; "
                'say percentiles_over = "all" in the catalog'
            )
            yield Problem("warning", "values below zero", case.dataset, case.name, message)


def _anatomy(looks: Sequence[CaseLook]) -> Iterator[Problem]:
    for look in looks:
        for message in look.anatomy:
            yield Problem("warning", "anatomy", look.case.dataset, look.case.name, message)


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
