"""Which classes a sample is asked for, in which words, and their masks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import LoadingError
from fve_pipeline.loading.hashing import Stream, mix
from fve_pipeline.store.class_table import ClassEntry, ClassTable

__all__ = ["PromptTable", "Question", "Wordings", "ask", "class_mask", "mirrored"]

# What else a class may be called, by its name.
Wordings = Callable[[str], Sequence[str]]

_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left"}


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
    """Classes that may be asked for, in the class tables of stores."""

    tables: tuple[ClassTable, ...]

    def worded(self, wordings: Wordings) -> PromptTable:
        """Return it with each prompt also in the other ``wordings`` of its class's name, where it holds that name."""
        return PromptTable(
            tuple(ClassTable(tuple(_worded(entry, wordings) for entry in table)) for table in self.tables)
        )

    def feasible(self, store: int, dataset: str, rendition: str) -> tuple[ClassEntry, ...]:
        """Classes of a dataset that a rendition shows, present in a sample or not.

        Raises LoadingError when there is none.
        """
        entries = self.tables[store].shown(dataset, rendition)
        if not entries:
            msg = f"{dataset} has no class for rendition {rendition!r}: nothing to ask for; load it without prompts"
            raise LoadingError(msg)
        return entries

    def names_a_side(self, store: int, dataset: str) -> bool:
        """Whether a mirrored image of the dataset would have wrong ids somewhere."""
        return any(_names_a_side(entry) for entry in self.tables[store].of_dataset(dataset))


def _worded(entry: ClassEntry, wordings: Wordings) -> ClassEntry:
    name = entry.name.replace("_", " ")
    found = [prompt.replace("_", " ") if prompt == entry.name else prompt for prompt in entry.words]
    named = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
    others = (
        named.sub(other, prompt)
        for other in wordings(entry.name)
        if other != name.lower()
        for prompt in found
    )
    return replace(entry, prompts=tuple(dict.fromkeys((*entry.words, *others))))


def _names_a_side(entry: ClassEntry) -> bool:
    """Whether a mirrored image makes the class's words wrong."""
    return bool(entry.side) or any(_SIDES.search(words) for words in (entry.name, *entry.prompts))


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
        questions.append([Question(e, e.words[w % len(e.words)]) for e, w in zip(drawn, word, strict=True)])
    return questions


def class_mask(mask: NDArray[Any], entry: ClassEntry, out: NDArray[Any]) -> None:
    """Write the class's mask: 1 where the mask (S, S) has one of its ids, or the instance's id as it is."""
    if entry.instance:
        np.copyto(out, mask, casting="unsafe")
        return
    if not entry.ids:  # a finding that the case does not have
        out[...] = 0
        return
    if len(entry.ids) > _FEW:
        np.copyto(out, _truths(entry.ids, mask.dtype.str)[mask])
        return
    # A byte takes a truth as it is; other types want it turned.
    np.equal(mask, entry.ids[0], out=out.view(bool) if out.itemsize == 1 else out, casting="unsafe")
    for label in entry.ids[1:]:
        out |= mask == label


# Ids that are compared one after another faster than they are looked up.
_FEW = 12


@lru_cache(maxsize=256)
def _truths(ids: tuple[int, ...], dtype: str) -> NDArray[np.uint8]:
    """1 at each of the ids, among all values of an unsigned type."""
    found = np.zeros(int(np.iinfo(dtype).max) + 1, np.uint8)
    found[list(ids)] = 1
    return found


def mirrored(text: str) -> str:
    """Return the text with left and right exchanged, capitals kept."""

    def other(match: re.Match[str]) -> str:
        found = match[0]
        word = _OTHER[found.lower()]
        return word.upper() if found.isupper() else word.capitalize() if found[0].isupper() else word

    return _SIDES.sub(other, text)
