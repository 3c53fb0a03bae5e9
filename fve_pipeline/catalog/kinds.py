"""Files sorted into kinds by their names alone: what plays one part in each case, and what tells cases apart."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = [
    "ENDINGS", "FOLDER_PARTS", "IMAGE_WORDS", "LABEL_WORDS", "READINGS", "Kind", "after_case", "apart",
    "is_split", "kinds_of", "says_label", "split_words", "stem_of", "whole_name", "words_of",
]  # fmt: skip

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".npz", ".h5", ".hdf5", ".tiff", ".tif", "/")

LABEL_WORDS = frozenset({
    "label", "labels", "lbl", "mask", "masks", "msk", "seg", "segs", "segm", "segmentation", "segmentations", "gt",
    "gts", "truth", "groundtruth", "ground", "annotation", "annotations", "annot", "roi", "rois", "dseg", "contour",
    "contours",
})  # fmt: skip
IMAGE_WORDS = frozenset({"image", "images", "img", "imgs", "scan", "scans", "volume", "volumes", "raw"})
_SPLIT_WORDS = frozenset({
    "train", "training", "tr", "val", "valid", "validation", "test", "testing", "ts", "fold",
})  # fmt: skip
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


def stem_of(path: str) -> str:
    """Return the last component of a path or pattern without its ending."""
    return path.removesuffix(_ending(path)).rpartition("/")[2]


def apart(kinds: Sequence[Kind]) -> tuple[str, list[str]] | None:
    """Return the one place in which the kinds' patterns differ, as a pattern with ``{class}``, and what each has there.

    That place is a folder, a name without its ending, or what follows the case in a name (``{case}_liver``). None
    where they differ otherwise.
    """
    endings = {_ending(kind.pattern) for kind in kinds}
    rows = [kind.pattern.removesuffix(_ending(kind.pattern)).split("/") for kind in kinds]
    if len(endings) > 1 or len({len(row) for row in rows}) > 1:
        return None
    columns = [at for at, column in enumerate(zip(*rows, strict=True)) if len(set(column)) > 1]
    if len(columns) != 1:
        return None
    at = columns[0]
    found = [_AFTER_CASE.fullmatch(row[at]) for row in rows]
    leads = {match["lead"] for match in found if match}
    if len(leads) != 1 or None in found:
        return None
    row = [*rows[0][:at], f"{leads.pop()}{{class}}", *rows[0][at + 1 :]]
    return "/".join(row) + endings.pop(), [match["rest"] for match in found if match]


def says_label(component: str) -> bool:
    """Whether a file or folder name has a word that label maps are called by (``labelsTr``, ``a_seg``)."""
    return bool(words_of(component) & LABEL_WORDS)


def is_split(words: set[str]) -> bool:
    """Whether a name's words say which part of a split it is, and nothing else."""
    return bool(words) and words <= _SPLIT_WORDS


def split_words(name: str) -> list[str]:
    """Return the words of a name, in order and as they are written: ``labelsTr`` has ``labels`` and ``Tr``."""
    return re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)


def words_of(component: str) -> set[str]:
    """Return the words of a name in lower case."""
    return {word.lower() for word in split_words(component)}


def _ending(path: str) -> str:
    return next((ending for ending in ENDINGS if path.lower().endswith(ending)), "")


def kinds_of(paths: Sequence[str], split: NameSplitter, *, folders: bool) -> list[Kind]:
    """Files sorted into kinds, the largest first; ``split`` takes the names of files that lie beside each other apart.

    With ``folders``, folders that hold the same names are cases; else they are kinds (``T1/p01``, ``T2/p01``).
    """
    groups: dict[tuple[int, str], list[str]] = defaultdict(list)
    for path in paths:
        groups[path.rstrip("/").count("/"), _ending(path)].append(path)
    kinds = [
        kind
        for (_, ending), group in groups.items()
        for kind in _kinds_of_shape(group, ending, split, folders)
    ]
    return sorted(kinds, key=lambda kind: (-len(kind.files), kind.pattern))


def _kinds_of_shape(paths: list[str], ending: str, split: NameSplitter, folders: bool) -> list[Kind]:
    rows = [path.removesuffix(ending).split("/") for path in paths]
    fixed = [len({row[at] for row in rows}) == 1 for at in range(len(rows[0]) - 1)]
    by_folder = _by_folder(rows, fixed) if folders else None
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
    last = [words_of(row[varying[-1]]) for row in rows]
    if any(words & (LABEL_WORDS | IMAGE_WORDS) for words in last) or any(map(is_split, last)):
        return None  # fixed_images beside moving_images, train beside val: folders of a kind, not of a case
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


def whole_name(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """The whole name is the case."""
    return [("", name, "") for name in names]


def after_case(cases: frozenset[str]) -> NameSplitter:
    """Return the reading of names that begin with one of ``cases``, the longest that fits: the rest is the kind."""

    def split(names: Sequence[str]) -> list[tuple[str, str, str]]:
        found = []
        for name in names:
            cuts = [at for at, letter in enumerate(name) if letter in "_-. " and name[:at] in cases]
            found.append(("", name[: cuts[-1]], name[cuts[-1] :]) if cuts else ("", name, ""))
        return found

    return split


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


_AFTER_CASE = re.compile(r"(?P<lead>(?:[^{}]*\{case\}[_\-. ]+)?)(?P<rest>[^{}]+)")
_WORD_TAIL = re.compile(r"(?P<case>.+?)(?P<tail>[_\-. ]+[A-Za-z]+\d?)")
_NUMBER_TAIL = re.compile(r"(?P<case>.+?)(?P<tail>[_\-. ]\d{4})")
# Ways to read the names of images and of labels, the plainest first.
READINGS: tuple[tuple[NameSplitter, NameSplitter], ...] = (
    (whole_name, whole_name),
    (_without_tail, _without_tail),
    (whole_name, _without_tail),
    (_without_tail, whole_name),
    (_core, _core),
)
