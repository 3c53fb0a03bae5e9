"""Guess a dataset's layout from its paths alone: which files are images, which labels, what tells cases apart."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from fve_pipeline.errors import CatalogError

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


# Names of one folder -> what stands before the case, the case, and what stands after it, each.
NameSplitter = Callable[[Sequence[str]], list[tuple[str, str, str]]]
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
    """Return the layout under which most images find their labels; None when no pairing is found.

    ``paths`` are relative, with forward slashes; a DICOM folder ends with one. Names that are equal pair before any
    part of a name is taken for a channel or a kind.

    Raises CatalogError where two readings pair as many files, and differently, or one case has several label maps
    that may be classes, readers or time points.
    """
    shared = _shared_folders(paths)
    labels = [
        path for path in paths if any(says_label(part) for part in path.rstrip("/").split("/")[shared:])
    ]
    images = sorted(set(paths) - set(labels))
    best: LayoutGuess | None = None
    for split_images, split_labels in _READINGS:
        found = _pair(_kinds(images, split_images), _kinds(labels, split_labels))
        if found is None:
            continue
        if best is None or len(found.matched) > len(best.matched):
            best = found
        elif len(found.matched) == len(best.matched) and _contradict(found, best):
            raise CatalogError(_two_readings(best, found))
    return best


def _pair(images: Sequence[Kind], labels: Sequence[Kind]) -> LayoutGuess | None:
    """The image kind that most labels go with, its channels, and those labels."""
    best: LayoutGuess | None = None
    for main in images:
        matching = [kind for kind in labels if _overlap(main, kind)]
        if not matching:
            continue
        found = LayoutGuess(_channels(main, images), _one_or_classes(main, matching))
        if best is None or len(found.matched) > len(best.matched):
            best = found
    return best


def _pairs(guess: LayoutGuess) -> set[tuple[str, str]]:
    """Each image file of the guess with each of its label files."""
    return {
        (image.files[case], label.files[case])
        for case in guess.matched
        for image in guess.images
        for label in guess.labels
        if case in image.files and case in label.files
    }


def _contradict(one: LayoutGuess, other: LayoutGuess) -> bool:
    """Whether a label file goes with other images in the one than in the other."""
    images: list[dict[str, set[str]]] = [defaultdict(set), defaultdict(set)]
    for of_label, guess in zip(images, (one, other), strict=True):
        for image, label in _pairs(guess):
            of_label[label].add(image)
    return any(images[0][label] != images[1][label] for label in images[0].keys() & images[1].keys())


def _two_readings(one: LayoutGuess, other: LayoutGuess) -> str:
    only = [sorted(_pairs(a) - _pairs(b)) for a, b in ((one, other), (other, one))]
    readings = [
        f"{guess.images[0].pattern} with {guess.labels[0].pattern}"
        + (f", for one {pairs[0][0]} with {pairs[0][1]}" if pairs else "")
        for guess, pairs in zip((one, other), only, strict=True)
    ]
    return (
        f"the names can be read in two ways, each of which pairs {len(one.matched)} cases: {readings[0]}; or {readings[1]}. "
        "Write [layout] of the catalog by hand, or name the files so that images and labels are called alike"
    )


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


def _kinds(paths: Sequence[str], split: NameSplitter) -> list[Kind]:
    """Files sorted into kinds, the largest first; ``split`` takes the names of files that lie beside each other apart."""
    groups: dict[tuple[int, str], list[str]] = defaultdict(list)
    for path in paths:
        groups[path.rstrip("/").count("/"), _ending(path)].append(path)
    kinds = [kind for (_, ending), group in groups.items() for kind in _kinds_of_shape(group, ending, split)]
    return sorted(kinds, key=lambda kind: (-len(kind.files), kind.pattern))


def _kinds_of_shape(paths: list[str], ending: str, split: NameSplitter) -> list[Kind]:
    rows = [path.removesuffix(ending).split("/") for path in paths]
    fixed = [len({row[at] for row in rows}) == 1 for at in range(len(rows[0]) - 1)]
    by_folder = _by_folder(rows, fixed)
    files: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for path, (pattern, tail, case) in zip(
        paths, map(by_folder, rows) if by_folder else _flat(rows, split), strict=True
    ):
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


def _flat(rows: list[list[str]], split: NameSplitter) -> list[tuple[str, str, str]]:
    """Files beside each other: what their names say, folder by folder."""
    folders: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        folders["/".join(row[:-1])].append(row[-1])
    parts = {folder: dict(zip(names, split(names), strict=True)) for folder, names in folders.items()}
    found = []
    for row in rows:
        lead, case, tail = parts["/".join(row[:-1])][row[-1]]
        found.append(("/".join([*row[:-1], f"{lead}{{case}}{tail}"]), tail, case))
    return found


def _whole(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """The whole name is the case."""
    return [("", name, "") for name in names]


def _without_tail(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """The case is the name without a last word (``_seg``, ``_T1``) or channel (``_0000``)."""
    numbered: dict[str, set[str]] = defaultdict(set)
    stems: dict[str, set[str]] = defaultdict(set)
    for name in names:
        if match := _NUMBER_TAIL.fullmatch(name):
            numbered[match["tail"]].add(match["case"])
            stems[match["case"]].add(match["tail"])
    # A number is a channel only where it comes again with other cases; _0001, _0002, … of one word are cases.
    # Of a single case it is one where the count begins at 0.
    only = sorted(tail[1:] for tail in numbered) if len(stems) == 1 else []
    counted = only == [f"{at:04d}" for at in range(len(only))]
    found = []
    for name in names:
        match = _NUMBER_TAIL.fullmatch(name)
        if match and not (len(numbered[match["tail"]]) > 1 or (only and counted)):
            match = None
        match = match or _WORD_TAIL.fullmatch(name)
        found.append(("", match["case"], match["tail"]) if match else ("", name, ""))
    return found


def _core(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """The case is what differs between the names, numbers whole; the rest before and after it is the same."""
    lead = _same_start(names).rstrip("0123456789")
    tail = _same_start([name[::-1] for name in names])[::-1].lstrip("0123456789")
    return [
        (lead, name[len(lead) : len(name) - len(tail)], tail)
        if len(names) > 1 and len(name) > len(lead) + len(tail)
        else ("", name, "")
        for name in names
    ]


def _same_start(names: Sequence[str]) -> str:
    """The letters that all names begin with."""
    alike = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*names, strict=False))
    return "".join(column[0] for column in alike)


_WORD_TAIL = re.compile(r"(?P<case>.+?)(?P<tail>[_\-. ]+[A-Za-z]+\d?)")
_NUMBER_TAIL = re.compile(r"(?P<case>.+?)(?P<tail>[_\-. ]\d{4})")
# Ways to read the names of images and of labels, the plainest first.
_READINGS: tuple[tuple[NameSplitter, NameSplitter], ...] = (
    (_whole, _whole),
    (_without_tail, _without_tail),
    (_whole, _without_tail),
    (_without_tail, _whole),
    (_core, _core),
)


def _overlap(image: Kind, label: Kind) -> int:
    return len(image.files.keys() & label.files.keys())


def _channels(main: Kind, kinds: Sequence[Kind]) -> tuple[Kind, ...]:
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
    beside = [kind for kind in kinds if kind.pattern.rsplit("/", 1)[0] == best.pattern.rsplit("/", 1)[0]]
    if len(beside) > 1 and all("{case}" not in kind.pattern.rsplit("/", 1)[-1] for kind in beside):
        return tuple(sorted(beside, key=lambda kind: kind.pattern))
    rivals = [kind for kind in beside if 2 * _overlap(main, kind) >= _overlap(main, best)]
    if len(rivals) > 1:
        shown = " and ".join(kind.pattern for kind in rivals[:2])
        msg = (
            f"most cases of {main.pattern} have {len(rivals)} label maps, such as {shown}: classes, readers or time points? "
            "Write [layout] by hand: {class} for one file a class, or one of them alone"
        )
        raise CatalogError(msg)
    return (best,)
