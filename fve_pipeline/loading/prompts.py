"""Which classes a sample is asked for, in which words, and their masks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fve_pipeline.errors import LoadingError
from fve_pipeline.loading.hashing import Stream, mix

__all__ = ["ClassEntry", "PromptTable", "Question", "ask", "class_mask", "mirrored"]

_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left"}


@dataclass(frozen=True, slots=True)
class ClassEntry:
    """A class of a dataset: label ids in the mask that make it up (none: every id is an instance of it)."""

    class_id: int
    name: str
    ids: tuple[int, ...]
    side: str
    prompts: tuple[str, ...]

    @property
    def names_a_side(self) -> bool:
        """Whether a mirrored image makes its words wrong."""
        return bool(self.side) or any(_SIDES.search(words) for words in (self.name, *self.prompts))


@dataclass(frozen=True, slots=True)
class Question:
    """One class that a sample is asked for, in these words."""

    entry: ClassEntry
    prompt: str

    @property
    def mirrored(self) -> Question | None:
        """The question about the mirrored image; None when there is no telling.

        Words change sides for a class that lies on one. A class that has no side, but words such as "left
        ventricle", keeps its name whichever side it is on, so the image must not be mirrored.
        """
        if self.entry.side:
            return Question(self.entry, mirrored(self.prompt))
        return None if _SIDES.search(self.prompt) else self


@dataclass(frozen=True)
class PromptTable:
    """Classes that may be asked for, by (store, dataset, rendition)."""

    classes: Mapping[tuple[int, str], Sequence[tuple[ClassEntry, frozenset[str]]]]

    @classmethod
    def of(cls, tables: Sequence[pa.Table]) -> PromptTable:
        """From the ``classes`` tables of stores, in order."""
        classes: dict[tuple[int, str], list[tuple[ClassEntry, frozenset[str]]]] = {}
        for store, table in enumerate(tables):
            for row in table.to_pylist():
                entry = ClassEntry(
                    row["class_id"],
                    row["name"],
                    () if row["instance"] else tuple(row["ids"]),
                    row["side"] or "",
                    tuple(row["prompts"]) or (row["name"],),
                )
                shown = frozenset(row.get("renditions") or ())
                classes.setdefault((store, row["dataset"]), []).append((entry, shown))
        return cls(classes)

    def feasible(self, store: int, dataset: str, rendition: str) -> tuple[ClassEntry, ...]:
        """Classes of a dataset that a rendition shows, present in a sample or not.

        Raises LoadingError when there is none.
        """
        found = self.classes.get((store, dataset), ())
        entries = tuple(entry for entry, shown in found if not shown or rendition in shown)
        if not entries:
            msg = f"{dataset} has no class for rendition {rendition!r}: nothing to ask for; load it without prompts"
            raise LoadingError(msg)
        return entries

    def names_a_side(self, store: int, dataset: str) -> bool:
        """Whether a mirrored image of the dataset would have wrong ids somewhere."""
        return any(entry.names_a_side for entry, _ in self.classes.get((store, dataset), ()))


def ask(
    feasible: Sequence[Sequence[ClassEntry]], count: int, seed: int, epochs: Any, samples: Any, times: Any
) -> list[list[Question]]:
    """``count`` questions for each sample: classes from its list, one prompt each, drawn at random.

    Classes are drawn without repeats where the list is long enough. A function of (seed, epoch, sample, time),
    given as equally long arrays.
    """
    longest = max(len(entries) for entries in feasible)
    parts = [np.asarray(part)[:, None] for part in (epochs, samples, times)]
    keys = mix(Stream.CLASS, seed, *parts, np.arange(max(longest, count)))
    words = mix(Stream.PROMPT, seed, *parts, np.arange(count))
    questions = []
    for entries, key, word in zip(feasible, keys, words.tolist(), strict=True):
        if len(entries) >= count:
            picked = np.argsort(key[: len(entries)])[:count].tolist()
        else:
            picked = (key[:count] % np.uint64(len(entries))).tolist()
        drawn = [entries[i] for i in picked]
        questions.append(
            [Question(e, e.prompts[w % len(e.prompts)]) for e, w in zip(drawn, word, strict=True)]
        )
    return questions


def class_mask(mask: NDArray[Any], entry: ClassEntry, out: NDArray[Any]) -> None:
    """Write the class's mask: 1 where the mask (S, S) has one of its ids, or the instance's id as it is."""
    if not entry.ids:
        np.copyto(out, mask, casting="unsafe")
        return
    np.equal(mask, entry.ids[0], out=out, casting="unsafe")
    for label in entry.ids[1:]:
        out |= mask == label


def mirrored(text: str) -> str:
    """The text with left and right exchanged, capitals kept."""

    def other(match: re.Match[str]) -> str:
        found = match[0]
        word = _OTHER[found.lower()]
        return word.upper() if found.isupper() else word.capitalize() if found[0].isupper() else word

    return _SIDES.sub(other, text)
