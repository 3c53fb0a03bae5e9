"""Guess a dataset's layout from its paths alone: which files are images, which labels, what tells cases apart."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

__all__ = ["ENDINGS", "FOLDER_PARTS", "Kind", "LayoutGuess", "guess_layout", "says_label"]

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".npz", ".tiff", ".tif", "/")

_LABEL_WORDS = frozenset({
    "label", "labels", "lbl", "mask", "masks", "msk", "seg", "segs", "segm", "segmentation", "segmentations", "gt",
    "gts", "truth", "groundtruth", "ground", "annotation", "annotations", "annot", "roi", "rois", "dseg", "contour",
    "contours",
})  # fmt: skip
_IMAGE_WORDS = frozenset({"image", "images", "img", "imgs", "scan", "scans", "volume", "volumes", "raw"})
FOLDER_PARTS = ("site", "group", "case")
_MOST_KINDS = 150  # more different file names than this in a case's folder are no classes or channels


# A path's components -> (pattern without ending, what sets its kind apart, case).
Splitter = Callable[[list[str]], tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Kind:
    """Files that play one part in their cases: ``pattern`` has ``{case}``, ``files`` maps cases to paths."""

    pattern: str
    tail: str
    files: dict[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class LayoutGuess:
    """``images`` are the channels, the first the main one. ``labels`` is one kind, or one a class."""

    images: tuple[Kind, ...]
    labels: tuple[Kind, ...]

    @property
    def matched(self) -> list[str]:
        """Cases that have an image and at least one label file."""
        return [case for case in self.images[0].files if any(case in kind.files for kind in self.labels)]


def says_label(component: str) -> bool:
    """Whether a file or folder name has a word that label maps are called by (``labelsTr``, ``a_seg``)."""
    return bool(_words(component) & _LABEL_WORDS)


def _words(component: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", component)}


def guess_layout(paths: Sequence[str]) -> LayoutGuess | None:
    """The layout under which most images find their labels; None when no pairing is found.

    ``paths`` are relative, with forward slashes; a DICOM folder ends with one.
    """
    shared = _shared_folders(paths)
    labels = [
        path for path in paths if any(says_label(part) for part in path.rstrip("/").split("/")[shared:])
    ]
    images = sorted(set(paths) - set(labels))
    best: LayoutGuess | None = None
    for trim in (False, True):
        image_kinds, label_kinds = _kinds(images, trim), _kinds(labels, trim)
        for main in image_kinds:
            matching = [kind for kind in label_kinds if _overlap(main, kind)]
            if not matching:
                continue
            found = LayoutGuess(_channels(main, image_kinds), _one_or_classes(main, matching))
            if best is None or len(found.matched) > len(best.matched):
                best = found
        if best is not None:
            return best
    return None


def _shared_folders(paths: Iterable[str]) -> int:
    """How many leading folders all paths have in common: their names say nothing about single files."""
    split = [path.rstrip("/").split("/")[:-1] for path in paths]
    count = 0
    for column in zip(*split, strict=False):
        if len(set(column)) > 1:
            break
        count += 1
    return count


def _ending(path: str) -> str:
    return next((ending for ending in ENDINGS if path.lower().endswith(ending)), "")


def _kinds(paths: Sequence[str], trim: bool) -> list[Kind]:
    """Files sorted into kinds, the largest first. ``trim`` takes letters in front of a number from the case."""
    groups: dict[tuple[int, str], list[str]] = defaultdict(list)
    for path in paths:
        groups[path.rstrip("/").count("/"), _ending(path)].append(path)
    kinds = [kind for (_, ending), group in groups.items() for kind in _kinds_of_shape(group, ending, trim)]
    return sorted(kinds, key=lambda kind: (-len(kind.files), kind.pattern))


def _kinds_of_shape(paths: list[str], ending: str, trim: bool) -> list[Kind]:
    rows = [path.removesuffix(ending).split("/") for path in paths]
    fixed = [len({row[at] for row in rows}) == 1 for at in range(len(rows[0]) - 1)]
    by_folder = _by_folder(rows, fixed)
    files: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for path, row in zip(paths, rows, strict=True):
        pattern, tail, case = by_folder(row) if by_folder else _flat(row, trim)
        files[pattern + ending, tail].setdefault(case, path)
    return [Kind(pattern, tail, found) for (pattern, tail), found in files.items()]


def _by_folder(rows: list[list[str]], fixed: list[bool]) -> Splitter | None:
    """A folder a case, with the same file names in each: a splitter of rows, or None when it is otherwise."""
    varying = [at for at, same in enumerate(fixed) if not same]
    if not 1 <= len(varying) <= len(FOLDER_PARTS):
        return None
    if any(_words(row[varying[-1]]) & (_LABEL_WORDS | _IMAGE_WORDS) for row in rows):
        return None  # fixed_images beside moving_images: folders of a kind, not of a case
    parts = dict(zip(varying, FOLDER_PARTS[-len(varying) :], strict=True))
    at = varying[-1]

    def split(row: list[str]) -> tuple[str, str, str]:
        name = row[-1].replace(row[at], "{case}") if len(row[at]) > 1 else row[-1]
        folders = [f"{{{parts[i]}}}" if i in parts else part for i, part in enumerate(row[:-1])]
        return "/".join([*folders, name]), name, "/".join(row[i] for i in varying)

    split_rows = [split(row) for row in rows]
    names = Counter(name for _, name, _ in split_rows)
    cases = {case for _, _, case in split_rows}
    repeated = names.most_common(1)[0][1] > 1
    return split if repeated and len(cases) > 1 and len(names) <= min(_MOST_KINDS, len(rows) - 1) else None


def _flat(row: list[str], trim: bool) -> tuple[str, str, str]:
    """Files beside each other: the case is the name without a last word (``_seg``, ``_0000``)."""
    *folders, name = row
    match = re.fullmatch(r"(?P<case>.+?)(?P<tail>[_\-. ](?:[A-Za-z]+\d?|\d{4}))", name)
    case, tail = (match["case"], match["tail"]) if match else (name, "")
    lead = ""
    if trim and (letters := re.match(r"[A-Za-z]+[_\-. ]?(?=\d)", case)):
        lead, case = letters.group(), case[letters.end() :]
    return "/".join([*folders, f"{lead}{{case}}{tail}"]), tail, case


def _overlap(image: Kind, label: Kind) -> int:
    return len(image.files.keys() & label.files.keys())


def _channels(main: Kind, kinds: list[Kind]) -> tuple[Kind, ...]:
    """The main image and those that nearly all of its cases have besides, in order of their names."""
    others = [
        kind
        for kind in kinds
        if kind is not main
        and kind.pattern.rpartition("/")[0] == main.pattern.rpartition("/")[0]
        and _overlap(main, kind) >= 0.9 * max(len(main.files), len(kind.files))
    ]
    return tuple(sorted([main, *others], key=lambda kind: kind.pattern))


def _one_or_classes(main: Kind, kinds: list[Kind]) -> tuple[Kind, ...]:
    own = _words(main.pattern)
    best = max(kinds, key=lambda kind: (_overlap(main, kind), len(own & _words(kind.pattern)), kind.pattern))
    classes = [kind for kind in kinds if kind.pattern.rsplit("/", 1)[0] == best.pattern.rsplit("/", 1)[0]]
    if len(classes) > 1 and all("{case}" not in kind.pattern.rsplit("/", 1)[-1] for kind in classes):
        return tuple(sorted(classes, key=lambda kind: kind.pattern))
    return (best,)
