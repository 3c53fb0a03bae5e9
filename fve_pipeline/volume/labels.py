"""Label files -> one label map on the image's grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import GeometryError, ReadError
from fve_pipeline.volume.dicom_header import object_kind
from fve_pipeline.volume.dicom_rtstruct import read_rtstruct
from fve_pipeline.volume.dicom_seg import read_segmentation
from fve_pipeline.volume.geometry import boxes_overlap, grid_offset, resample_nearest, span_text
from fve_pipeline.volume.kinds import kind_of
from fve_pipeline.volume.label_file import LabelFile
from fve_pipeline.volume.orientation import check_affine, plan_turn, settle_view, turn_affine, turn_view
from fve_pipeline.volume.overlay import Overlay, Sets, counted, flattened, members
from fve_pipeline.volume.pictures import read_pictures
from fve_pipeline.volume.read import load_raw, read_header
from fve_pipeline.volume.refusal import refusal
from fve_pipeline.volume.types import Header, Labels, Raw, Volume
from fve_pipeline.volume.values import apply_scale

__all__ = ["check_sizes", "read_labels", "view_labels"]

_MAX = np.iinfo(np.uint16).max
_PLACELESS = ("npz", "hdf5", "tiff")  # kinds of file that do not say where they lie


def read_labels(
    files: Sequence[LabelFile], root: str | Path, like: Volume | Header, *, overlaps: bool = False
) -> Labels:
    """Read a case's label files onto its image's grid, which ``like`` (its volume or header) tells.

    A file whose grid differs from the image's (direction, origin, spacing or size) is resampled, nearest, in
    world space. With ``overlaps`` no label hides another: a voxel of several has a value of its own, and
    ``Labels.sets`` says of which. Otherwise files are laid over each other in their order: where a later one is not
    zero it wins, of overlapping segments of one file that of the higher number does, and the notes count the voxels
    that were taken. ``LabelFile.value`` is the id that a file's non-zero voxels get; ``LabelFile.channel`` picks one
    layer of several, or one segment of a DICOM SEG file, whose ids are its segments' numbers.

    Returns
    -------
    Labels
        uint16 (z,y,x) of the image's shape.

    Raises
    ------
    ReadError
        A file can't be read, or holds something other than ids 0..65535: fractions, negative or larger
        values, several layers without one named.
    GeometryError
        A file's box doesn't touch the image's, none of its labelled voxels falls inside the image, or one of
        the two has no position while their sizes differ.
    """
    found = view_labels(files, root, like, overlaps=overlaps)
    return replace(found, array=np.ascontiguousarray(found.array, np.uint16))


def view_labels(
    files: Sequence[LabelFile], root: str | Path, like: Volume | Header, *, overlaps: bool = False
) -> Labels:
    """As :func:`read_labels`, but the ids of a single file are a view of any whole type, as it holds its axes.

    For who goes over them once. Several files, or one whose values mean other ids, are laid on one grid all the same.
    """
    notes: list[str] = []
    resampled = False
    overlay: Overlay | None = None
    for file in files:
        array, sets, moved = _on_grid(file, Path(root), like, notes)
        if len(files) == 1 and file.value is None and file.values is None and not sets:
            return Labels(array, moved, tuple(notes))
        array = settle_view(array)
        overlay = overlay or Overlay(like.shape)
        resampled |= moved
        if file.value is not None:
            _note_values(array, file, notes)
        if file.values is not None:
            array, sets = _renumbered(array, sets, dict(file.values), file.path)
        if overlaps:
            overlay.add(array, file.value, sets)
            continue
        if file.value is None:
            array, several = flattened(array, sets)
            if several:
                notes.append(
                    f"{file.path}: {several} voxels belong to several segments; the highest number was kept"
                )
        if count := _lay(overlay.array, array, file.value):
            notes.append(f"{file.path}: {count} voxels that an earlier file had labelled were relabelled")
    overlay = overlay or Overlay(like.shape)
    return Labels(overlay.array, resampled, tuple(notes), overlay.sets)


def _lay(out: NDArray[np.uint16], array: NDArray[Any], value: int | None) -> int:
    """Lay a file's labels over ``out``; returns how many voxels had another label before.

    Slice by slice: most classes of a hundred files are in few slices, and a slice fits the cache.
    """
    taken = 0
    for under, over in zip(out, array, strict=True):
        if over.any():
            layer = over != 0
            ids = over if value is None else np.uint16(value)
            taken += int(np.count_nonzero(layer & (under != 0) & (under != ids)))
            np.copyto(under, ids, where=layer, casting="unsafe")
    return taken


def _renumbered(
    array: NDArray[Any], sets: Sets, ids: dict[int, int], name: str
) -> tuple[NDArray[np.uint16], Sets]:
    """Return the map, and what its values stand for, with the catalog's ids in place of the file's values."""
    held = [value for value in np.flatnonzero(counted(array)).tolist() if value]
    found = {label for value in held for label in members(sets, value)}
    if strange := sorted(found - ids.keys()):
        raise refusal(
            name,
            f"it holds the value {strange[0]}"
            + (f" and {len(strange) - 1} more" if len(strange) > 1 else ""),
            f"those that the catalog gives it, {', '.join(map(str, sorted(ids)))}",
            "Add the class with its file and value, or correct the file",
        )
    overlay = Overlay((1, 1, _MAX + 1))
    for value in held:
        for label in members(sets, value):
            overlay.add_slice(0, np.arange(_MAX + 1)[None] == value, ids[label])
    return overlay.array[0, 0][array], overlay.sets


def _on_grid(
    file: LabelFile, root: Path, like: Volume | Header, notes: list[str]
) -> tuple[NDArray[Any], Sets, bool]:
    """(ids on the image's grid, what values stand for several, whether that took resampling)."""
    name = file.path
    raw = _load(file, root, name, like)
    if raw.array is None:  # pragma: no cover - readers fill it when asked for voxels
        raise AssertionError(name)
    array = _ids(apply_scale(raw.array, raw.slope, raw.intercept), name)
    if not (raw.located and like.located):
        return _by_index(array, raw.located, like, name), raw.sets, False
    notes.extend(f"{name}: {note}" for note in raw.notes)
    turn = plan_turn(raw.affine)
    affine = turn_affine(raw.affine, raw.shape, turn)
    array = turn_view(array, turn)
    shape = (array.shape[0], array.shape[1], array.shape[2])
    target = like.shape
    if shape == target and (offset := grid_offset(like.affine, affine, shape)) < 0.5:
        if offset > 0.05:
            notes.append(
                f"{name}: its grid lies {offset:.2f} voxels off the image's; the nearest voxels are the same"
            )
        return array, raw.sets, False
    if not boxes_overlap(like.affine, target, affine, shape):
        found = f"the label map lies at {span_text(affine, shape)}, outside the image at {span_text(like.affine, target)}"
        expected, advice = "them to overlap (LPS x, y, z in mm)", "Check that it belongs to this image"
        raise refusal(name, found, expected, advice, GeometryError)
    array = settle_view(array)
    before = int(np.count_nonzero(array)) * abs(float(np.linalg.det(affine[:3, :3])))
    array = resample_nearest(array, affine, like.affine, target)
    after = int(np.count_nonzero(array)) * abs(float(np.linalg.det(like.affine[:3, :3])))
    if before and not after:
        found = f"no labelled voxel falls inside the image at {span_text(like.affine, target)}"
        advice = "Check that it belongs to this image and isn't mirrored"
        raise refusal(name, found, "some (LPS x, y, z in mm)", advice, GeometryError)
    change = f", {after / before:.0%} of the labelled volume is left" if before else ""
    notes.append(f"{name}: on another grid than the image ({_sizes(shape)}); resampled, nearest{change}")
    return array, raw.sets, True


def _load(file: LabelFile, root: Path, name: str, like: Volume | Header) -> Raw:
    path = root / file.path
    if file.slices_of is not None:
        return read_pictures(path, root / file.slices_of)
    if file.lack is not None:
        raise ReadError(file.lack)
    kind = object_kind(path, name)
    if kind == "RTSTRUCT":
        return read_rtstruct(path, name, file.structures or (), like)
    if kind == "SEG":
        raw = read_segmentation(path, name, file.channel, file.structures, file.threshold, like)
        check_affine(raw.affine, name)
        return raw
    return load_raw(path, name, series=None, channel=file.channel, member=file.member or "gts", voxels=True)


def _ids(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Whole numbers 0..65535 in an integer type."""
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind == "f":
        bad = int((~np.isfinite(array)).sum())
        if bad:
            raise refusal(
                name, f"{bad} labels of {array.size} are NaN or infinite", "whole numbers", "Repair the file"
            )
        odd = array != np.rint(array)
        if odd.any():
            raise refusal(
                name,
                f"{int(odd.sum())} labels are fractions (the first is {float(array[odd][0]):.4g})",
                "whole numbers",
                "Give the label map, not probabilities; resample labels nearest",
            )
    if array.dtype == np.uint8:
        return array
    low, high = 0 if array.dtype.kind == "u" else array.min(), array.max()
    if low < 0:
        raise refusal(
            name,
            f"{int((array < 0).sum())} labels are negative (down to {int(low)})",
            f"0..{_MAX}",
            "Give the class ids themselves",
        )
    if high > _MAX:
        raise refusal(name, f"labels go up to {int(high)}", f"at most {_MAX}", "Renumber them first")
    return array.astype(np.uint16) if array.dtype.kind == "f" else array


def check_sizes(files: Sequence[LabelFile], root: Path, image: str, member: str | None) -> None:
    """Raise GeometryError where an image of a kind that says no position has another size than its labels.

    By headers alone, so that neither is inflated: an npz of a few kilobytes can promise terabytes. Labels whose
    headers cannot be read are left to who reads them.
    """
    if kind_of(root / image, image) not in _PLACELESS:
        return
    like = read_header(root / image, member=member, name=image)
    for file in files:
        try:
            header = read_header(
                root / file.path, channel=file.channel, member=file.member or "gts", name=file.path
            )
        except ReadError:
            continue
        if not header.located:
            _check_by_index(header.shape, header.located, like, file.path)


def _by_index(array: NDArray[Any], located: bool, like: Volume | Header, name: str) -> NDArray[Any]:
    _check_by_index(array.shape, located, like, name)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def _check_by_index(shape: tuple[int, ...], located: bool, like: Volume | Header, name: str) -> None:
    """Files without a position in the body can only be matched voxel by voxel, and only with their like."""
    if located != like.located:
        with_position, without = ("label map", "image") if located else ("image", "label map")
        raise refusal(
            name,
            f"the {with_position} has a position in the body and the {without} has none",
            "both or neither",
            "Save both in one format",
            GeometryError,
        )
    if shape != like.shape:
        found = f"the label map is {_sizes(shape)} and the image {_sizes(like.shape)} (z,y,x)"
        expected = "equal sizes, since neither says where it lies"
        raise refusal(name, found, expected, "Check that they belong together", GeometryError)


def _note_values(array: NDArray[Any], file: LabelFile, notes: list[str]) -> None:
    high = int(array.max())
    if high > 1 and any(((plane != 0) & (plane != high)).any() for plane in array):
        notes.append(f"{file.path}: holds several ids; all of them became {file.value}")


def _sizes(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
