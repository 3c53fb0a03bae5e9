"""Find a dataset's cases: names only, no file is opened but the split's table."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from fve_pipeline.catalog.case import Case, Rendition
from fve_pipeline.catalog.family import expand
from fve_pipeline.catalog.finding_table import read_findings
from fve_pipeline.catalog.frames import Framer
from fve_pipeline.catalog.pattern import parse_pattern
from fve_pipeline.catalog.schema import Catalog, ClassSpec
from fve_pipeline.catalog.split import split_finder
from fve_pipeline.errors import CatalogError, ReadError
from fve_pipeline.runtime.suggest import beside
from fve_pipeline.runtime.text import printable
from fve_pipeline.volume.label_file import LabelFile
from fve_pipeline.volume.references import referring_objects

__all__ = ["discover", "find_volumes", "natural_key", "require_folder"]


def discover(catalog: Catalog, root: Path) -> list[Case]:
    """List the cases of ``catalog`` under ``root``, by name in natural order (``case_2`` before ``case_10``).

    Whether a case's label and channel files exist is not looked up: a case that lacks one fails alone when
    it is read, and ``file_problems`` lists such cases beforehand. A family gives its datasets' cases.

    Raises
    ------
    CatalogError
        When ``root`` is no folder, when no image matches (the deepest folder that was reached and what it
        holds are named), when two images give one case name, or when a case's split cannot be told.
    """
    require_folder(catalog, root)
    if catalog.is_family:
        return [case for dataset in expand(catalog, root) for case in discover(dataset, root)]
    cases: dict[str, Case] = {}
    for case in _find(catalog, root):
        if case.name in cases:
            msg = (
                f"catalog {catalog.name!r}: two images make the case {case.name!r}: {cases[case.name].image} and "
                f"{case.image} under {root}. Point --root at one copy, or tell them apart with "
                'case = "..." in [layout].'
            )
            raise CatalogError(msg)
        cases[case.name] = case
    if not cases:
        raise CatalogError(_nothing(catalog, root))
    _drop_label_maps(cases)
    return [cases[name] for name in sorted(cases, key=natural_key)]


def require_folder(catalog: Catalog, root: Path) -> None:
    """Raise CatalogError where ``root`` is no folder, or nothing in it has a name that the catalog's images have.

    Quick for a folder of any size: it ends at the first name that fits.
    """
    if not root.is_dir():
        msg = (
            f"catalog {catalog.name!r}: the root {root} is no folder. {beside(root)}Give the folder that holds the "
            "dataset."
        )
        raise CatalogError(msg)
    if not catalog.is_family and next(iter(parse_pattern(catalog.layout.images).find(root)), None) is None:
        raise CatalogError(_nothing(catalog, root))


def find_volumes(catalog: Catalog, root: Path) -> list[tuple[str, dict[str, str]]]:
    """Files or folders under ``root``, relative to it, that the catalog takes for images; none if it fits nothing.

    Each with the files of the renditions that have their own, by their names.
    Splits and case names, which prediction has no use for, are not looked up, and labels need not be there; what is
    the place of another image's labels is no image.
    """
    found = [
        (image, parts, _labels(catalog, root, {**parts, "image": image}))
        for image, parts in catalog.find_images(root)
    ]
    labels = _label_paths((image, files) for image, _, files in found)
    own = [(spec.name, parse_pattern(spec.image)) for spec in catalog.renditions if spec.image is not None]
    return [
        (image, {name: pattern.format(parts) for name, pattern in own})
        for image, parts, _ in found
        if image not in labels
    ]


def _find(catalog: Catalog, root: Path) -> Iterator[Case]:
    """Return the cases in the order in which their images are met."""
    layout = catalog.layout
    split_of = split_finder(catalog, root)
    said = {} if catalog.findings is None else read_findings(catalog.findings, root, catalog.name)
    framer = None if catalog.frames is None else Framer(catalog, root, catalog.frames)
    name_of, subject_of = parse_pattern(layout.case_template), parse_pattern(layout.subject_template)
    series_of = None if layout.series is None else parse_pattern(layout.series)
    for image, parts in catalog.find_images(root):
        # What stands for the case everywhere must be safe to show; the paths stay as the system knows them.
        name, subject = printable(name_of.format(parts)), printable(subject_of.format(parts))
        series = None if series_of is None else series_of.format(parts)
        case = Case(
            dataset=catalog.name,
            name=name,
            subject=catalog.subject_id(name, subject),
            modality=str(catalog.modality),
            image=image,
            labels=_labels(catalog, root, {**parts, "image": image}, series),
            renditions=_renditions(catalog, parts),
            split=split_of(name, subject, parts),
            series=series,
            scaled=catalog.scaled,
            member=layout.image_member,
            findings=said.get(name, ()),
        )
        if framer is None:
            yield case
        else:
            yield from framer.split(case, subject)


def _referring(root: Path, folder: str, kind: str, image: str, series: str | None) -> tuple[str, str | None]:
    """(path of the one RTSTRUCT or SEG below a folder that refers to an image, or of the folder; what is lacking)."""
    try:
        found = referring_objects(root / folder, kind, root / image, series)
    except ReadError as error:  # of the image, which will say so when it is read
        return folder, str(error)
    if len(found) == 1:
        return found[0].relative_to(root).as_posix(), None
    said = f"{len(found)} of them refer" if found else "none of them refers"
    return folder, (
        f"{folder}: looked for the {kind} of {image}, and {said} to it; expected one. Put the right one there, or name "
        "the file in labels"
    )


def _label_paths(images: Iterable[tuple[str, Iterable[LabelFile]]]) -> set[str]:
    """Files that are another image's labels: ``{case}.nrrd`` matches ``a.nrrd`` and ``a_seg.nrrd``."""
    return {file.path for image, files in images for file in files if file.path != image}


def _drop_label_maps(cases: dict[str, Case]) -> None:
    """Forget images that are another case's labels."""
    labels = _label_paths((case.image, case.labels) for case in cases.values())
    for name in [name for name, case in cases.items() if case.image in labels]:
        del cases[name]


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which runs of digits count as numbers; ties are broken by the text itself."""
    pieces = re.split(r"(\d+)", name)
    key = tuple(
        (0, int(piece), "") if piece.isdigit() else (1, 0, piece.lower()) for piece in pieces if piece
    )
    return (*key, (2, 0, name))


def _labels(
    catalog: Catalog, root: Path, parts: dict[str, str], series: str | None = None
) -> tuple[LabelFile, ...]:
    if not catalog.layout.labels:
        return ()
    pattern = parse_pattern(catalog.layout.labels)
    layout = catalog.layout
    if layout.labels_of is not None or catalog.structures is not None:
        path, lack = pattern.format(parts), None
        if layout.labels_of is not None and pattern.folder:
            path, lack = _referring(root, path, layout.labels_of, parts["image"], series)
        return (LabelFile(path, structures=catalog.structures, threshold=layout.threshold, lack=lack),)
    slices_of = parts["image"] if pattern.folder else None  # a folder of pictures, one a slice of the series
    held: dict[tuple[str | None, int | None], list[ClassSpec]] = {}
    for spec in catalog.classes:
        if spec.file is not None or spec.layer is not None:
            held.setdefault((spec.file, spec.layer), []).append(spec)
    if not held:
        return (
            LabelFile(
                pattern.format(parts),
                member=layout.label_member,
                slices_of=slices_of,
                threshold=layout.threshold,
            ),
        )
    found = tuple(
        LabelFile(
            pattern.format({**parts, "class": file or ""}),
            value=classes[0].id if classes[0].value is None else None,
            channel=layer,
            slices_of=slices_of if layer is None else None,
            values=_values(classes),
        )
        for (file, layer), classes in held.items()
    )
    if not catalog.layout.sparse:
        return found
    # A case without a single file has no labels at all, which is to be said and not taken for empty.
    return tuple(file for file in found if os.path.exists(root / file.path)) or found


def _values(classes: Sequence[ClassSpec]) -> tuple[tuple[int, int], ...] | None:
    """Return the ids of the values that classes have in one file, None where the file is one class's."""
    values = tuple((spec.value, spec.id) for spec in classes if spec.value is not None)
    return values or None


def _renditions(catalog: Catalog, parts: dict[str, str]) -> tuple[Rendition, ...]:
    if not catalog.renditions:
        window = catalog.window or (
            "soft_tissue" if catalog.modality == "CT" and not catalog.scaled else None
        )
        return (Rendition(name=window or "image", window=window),)
    return tuple(
        Rendition(
            name=spec.name,
            window=spec.window,
            channel=spec.channel,
            image=None if spec.image is None else parse_pattern(spec.image).format(parts),
            class_ids=spec.classes,
        )
        for spec in catalog.renditions
    )


def _nothing(catalog: Catalog, root: Path) -> str:
    """Why no image matched: how far the glob came, and whether a folder one level down would do."""
    pattern = parse_pattern(catalog.layout.images)
    reached, missing = pattern.stuck_at(root)
    entries = sorted(entry.name for entry in islice((root / reached).iterdir(), 200))
    shown = ", ".join(entries[:8]) + (f" and {len(entries) - 8} more" if len(entries) > 8 else "")
    found = f"{root / reached} holds {shown}" if entries else f"{root / reached} is empty"
    for entry in sorted(root.iterdir()):
        if entry.is_dir() and next(iter(pattern.find(entry)), None) is not None:
            found += f". It does match under {entry}: give that as the root"
            break
    return (
        f"catalog {catalog.name!r}: no image matches {pattern.text!r} under {root}: "
        f"nothing fits {missing!r}; {found}"
    )
