"""Guess a dataset's layout from its paths alone: which files are images, which labels, what tells cases apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fve_pipeline.catalog.class_words import is_class
from fve_pipeline.catalog.kinds import (
    IMAGE_WORDS,
    LABEL_WORDS,
    READINGS,
    Kind,
    after_case,
    apart,
    is_split,
    kinds_of,
    says_label,
    stem_of,
    whole_name,
    words_of,
)
from fve_pipeline.errors import CatalogError

__all__ = ["LayoutGuess", "guess_layout"]


@dataclass(frozen=True, slots=True)
class LayoutGuess:
    """``images`` are the channels, the first the main one. ``labels`` is one kind, or one a class."""

    images: tuple[Kind, ...]
    labels: tuple[Kind, ...]

    @property
    def matched(self) -> list[str]:
        """Cases that have an image and at least one label file."""
        return [case for case in self.images[0].files if any(case in kind.files for kind in self.labels)]


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
    ] or _called_like_classes(paths)
    images = sorted(set(paths) - set(labels))
    return (
        _best_reading(images, labels, folders=True)
        or _best_reading(images, labels, folders=False)
        or _only_case(images, labels)
    )


def _best_reading(images: Sequence[str], labels: Sequence[str], *, folders: bool) -> LayoutGuess | None:
    best: LayoutGuess | None = None
    whole = kinds_of(images, whole_name, folders=folders)
    cases = frozenset(case for kind in whole for case in kind.files)
    for split_images, split_labels in (*READINGS, (whole_name, after_case(cases))):
        found = _pair(
            kinds_of(images, split_images, folders=folders), kinds_of(labels, split_labels, folders=folders)
        )
        if found is None:
            continue
        if best is not None and len(found.matched) == len(best.matched) and _contradict(found, best):
            raise CatalogError(_two_readings(best, found))
        if best is None or _reach(found) > _reach(best):
            best = found
    return best


def _reach(guess: LayoutGuess) -> tuple[int, int]:
    """How many cases a reading pairs, and how many of their label files."""
    return len(guess.matched), sum(len(kind.files) for kind in guess.labels)


def _called_like_classes(paths: Sequence[str]) -> list[str]:
    """Files named by a class alone (``liver``), or by a class after another file's name (``p01_liver``)."""
    stems = {(path.rpartition("/")[0], stem_of(path)) for path in paths}

    def is_label(path: str) -> bool:
        stem = stem_of(path)
        cuts = [at for at, letter in enumerate(stem) if letter in "_-. " and at]
        after = any((path.rpartition("/")[0], stem[:at]) in stems and is_class(stem[at:]) for at in cuts)
        return after or is_class(stem)

    return [path for path in paths if is_label(path)]


def _only_case(images: Sequence[str], labels: Sequence[str]) -> LayoutGuess | None:
    """One image: all label files are its own, whatever they are called."""
    if len(images) != 1 or not labels:
        return None
    kinds = [Kind(path, stem_of(path), {"": path}) for path in labels]
    if len(kinds) > 1 and not _are_classes(kinds):
        return None
    return LayoutGuess((Kind(images[0], "", {"": images[0]}),), tuple(kinds))


def _pair(images: Sequence[Kind], labels: Sequence[Kind]) -> LayoutGuess | None:
    """The image kind that most labels go with, its channels, and those labels."""
    best: LayoutGuess | None = None
    for main in images:
        matching = [kind for kind in labels if _overlap(main, kind)]
        if not matching:
            continue
        found = LayoutGuess(_channels(main, images, labels), _one_or_classes(main, matching))
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


def _overlap(image: Kind, label: Kind) -> int:
    return len(image.files.keys() & label.files.keys())


def _channels(main: Kind, kinds: Sequence[Kind], labels: Sequence[Kind]) -> tuple[Kind, ...]:
    """The main image and those that nearly all of its cases have besides, in order of their names."""
    others = [
        kind
        for kind in kinds
        if kind is not main
        and _overlap(main, kind) >= 0.9 * max(len(main.files), len(kind.files))
        and (_folder(kind) == _folder(main) or _beside(main, kind, labels))
    ]
    return tuple(sorted([main, *others], key=lambda kind: kind.pattern))


def _beside(main: Kind, kind: Kind, labels: Sequence[Kind]) -> bool:
    """Whether two folders hold renditions of the same cases: no parts of a split, and none with labels of its own."""
    differing = apart([main, kind])
    if differing is None:
        return False
    said = [words_of(one) - IMAGE_WORDS for one in differing[1]]
    of_labels = [words_of(part) - LABEL_WORDS for label in labels for part in label.pattern.split("/")]
    return not any(is_split(words) or words in of_labels for words in said)


def _one_or_classes(main: Kind, kinds: list[Kind]) -> tuple[Kind, ...]:
    words, parts = words_of(main.pattern), set(main.pattern.split("/"))

    def closeness(kind: Kind) -> tuple[int, int, int, str]:
        shared = len(parts & set(kind.pattern.split("/")))
        return _overlap(main, kind), len(words & words_of(kind.pattern)), shared, kind.pattern

    best = max(kinds, key=closeness)
    beside = [kind for kind in kinds if _folder(kind) == _folder(best)]
    if len(beside) > 1 and all("{case}" not in stem_of(kind.pattern) for kind in beside) and apart(beside):
        return tuple(sorted(beside, key=lambda kind: kind.pattern))
    for group in (beside, [kind for kind in kinds if kind is best or apart([best, kind])]):
        if len(group) > 1 and _are_classes(group):
            return tuple(sorted(group, key=lambda kind: kind.pattern))
    rivals = [kind for kind in beside if 2 * _overlap(main, kind) >= _overlap(main, best)]
    if len(rivals) > 1:
        shown = " and ".join(kind.pattern for kind in rivals[:2])
        msg = (
            f"most cases of {main.pattern} have {len(rivals)} label maps, such as {shown}: classes, readers or time points? "
            "Write [layout] by hand: {class} for one file a class, or one of them alone"
        )
        raise CatalogError(msg)
    return (best,)


def _are_classes(kinds: Sequence[Kind]) -> bool:
    differing = apart(kinds)
    return differing is not None and all(is_class(one) for one in differing[1])


def _folder(kind: Kind) -> str:
    return kind.pattern.rpartition("/")[0]
