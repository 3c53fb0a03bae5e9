"""Questions about a case's own findings, beside those about its classes; never one that is wrongly a negative."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fve_pipeline.loading.hashing import Stream, mix, uniform
from fve_pipeline.loading.prompts import Question
from fve_pipeline.store.class_table import ClassEntry
from fve_pipeline.store.reader import Store

__all__ = ["FindingMix", "Sentences", "contradicts", "mix_findings", "swapped"]

_Place = tuple[str, tuple[str, ...]]

# Of so many findings all are looked at for a negative; of more, as many as are tried are drawn.
_FEW = 128
_TRIES = 64

_WORD = re.compile(r"[a-z]+")
_SIDES = frozenset({"left", "right", "both", "bilateral"})
# Words that many sentences share without being about one place.
_COMMON = frozenset(
    re.findall(
        r"\w+",
        """a an and are as at by for from in is it its mm cm of on or the there to was with within without no not seen
        new small large focal multiple single approximately measuring size unchanged mild moderate severe""",
    )
)


@dataclass(frozen=True, slots=True)
class FindingMix:
    """``ratio`` of the questions are about findings where a case has any, ``negatives`` of those about what it lacks.

    Sentences of other cases are negatives only in datasets whose findings are complete, those of the same organ and
    side before others, and never one that may be true of the case.
    """

    ratio: float = 0.5
    negatives: float = 0.25


def contradicts(sentence: str, own: Sequence[str]) -> bool:
    """Return whether a sentence may be asked as absent: it neither equals, holds nor is held by one of the case's own.

    >>> contradicts("Nodule in the left lung", ["6 mm nodule in the left lung"])
    False
    """
    asked = _plain(sentence)
    return not any(asked in mine or mine in asked for mine in map(_plain, own))


def swapped(said: Sequence[Sequence[str]], seed: int) -> list[str | None]:
    """Return for each finding a sentence of another one that its own wordings ``said`` neither hold nor are held by.

    None where there seems to be no such; drawn by the seed.
    """
    found: list[str | None] = []
    for number, own in enumerate(said):
        picks = mix(Stream.FINDING, seed, number, np.arange(_TRIES)) % np.uint64(len(said))
        others = (said[int(pick)][0] for pick in picks)
        found.append(next((text for text in others if contradicts(text, own)), None))
    return found


@dataclass
class _Pool:
    """The findings of a data set, and which of them name a place and a side: few are looked at for each draw."""

    cases: list[str] = field(default_factory=list)
    entries: list[ClassEntry] = field(default_factory=list)
    plain: list[tuple[str, ...]] = field(default_factory=list)
    by_place: dict[_Place, list[int]] = field(default_factory=dict)

    def add(self, case: str, entry: ClassEntry) -> None:
        for place in {place for text in entry.prompts for place in _places(text)}:
            self.by_place.setdefault(place, []).append(len(self.entries))
        self.cases.append(case)
        self.entries.append(entry)
        self.plain.append(tuple(_plain(text) for text in entry.prompts))

    def draw(self, lists: Sequence[Sequence[int]], case: str, mine: Sequence[str], key: int) -> int | None:
        """Return a number out of the lists that is another case's and says nothing that is true of this one."""

        def fits(number: int) -> bool:
            said = self.plain[number]
            return self.cases[number] != case and not any(a in b or b in a for a in said for b in mine)

        total = sum(map(len, lists))
        if total <= _FEW:
            fitting = [number for number in sorted({n for numbers in lists for n in numbers}) if fits(number)]
            return fitting[key % len(fitting)] if fitting else None
        ends = np.cumsum([len(numbers) for numbers in lists])
        for place in (mix(Stream.FINDING, key, np.arange(_TRIES)) % np.uint64(total)).astype(np.int64):
            part = int(np.searchsorted(ends, place, side="right"))
            number = lists[part][int(place - ends[part])]
            if fits(number):
                return number
        return None


class Sentences:
    """The findings of stores: what is true of a case, and what of other cases is not."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores = tuple(stores)

    def __bool__(self) -> bool:
        return any(len(store.findings) for store in self._stores)

    @cached_property
    def _true(self) -> list[dict[str, tuple[ClassEntry, ...]]]:
        found: list[dict[str, list[ClassEntry]]] = []
        for store in self._stores:
            own: dict[str, list[ClassEntry]] = {}
            for row in store.findings.to_pylist():
                own.setdefault(row["case"], []).append(_entry(row))
            found.append(own)
        return [{case: tuple(entries) for case, entries in own.items()} for own in found]

    @cached_property
    def _complete(self) -> set[tuple[int, str]]:
        return {
            (place, source.dataset)
            for place, store in enumerate(self._stores)
            for source in store.manifest.sources
            if source.findings == "complete"
        }

    @cached_property
    def _others(self) -> dict[tuple[int, str], _Pool]:
        found: dict[tuple[int, str], _Pool] = {}
        for place, cases in enumerate(self._true):
            for case, entries in cases.items():
                for entry in entries:
                    found.setdefault((place, entry.dataset), _Pool()).add(case, entry)
        return found

    def true(self, store: int, case: str) -> tuple[ClassEntry, ...]:
        """Return the findings of a case, as what may be asked for."""
        return self._true[store].get(case, ())

    def absent(self, store: int, dataset: str, case: str, key: int) -> ClassEntry | None:
        """Return a finding that the case does not have, without a voxel; None where no such is known.

        ``key`` picks among those that name the same organ and side as one of the case's own, or among all when
        there are none. Of many, some are tried: a case that has nearly all of them may get none.
        """
        if (store, dataset) not in self._complete or (store, dataset) not in self._others:
            return None
        pool = self._others[store, dataset]
        own = [text for entry in self.true(store, case) for text in entry.prompts]
        mine = [_plain(text) for text in own]
        near = {place for text in own for place in _places(text)}
        hard = [pool.by_place[place] for place in sorted(near, key=str) if place in pool.by_place]
        number = pool.draw(hard, case, mine, key)
        if number is None:
            number = pool.draw([range(len(pool.entries))], case, mine, key)
        if number is None:
            return None
        chosen = pool.entries[number]
        return ClassEntry(dataset, 0, f"absent: {chosen.name}", (), side=chosen.side, prompts=chosen.prompts)


def mix_findings(
    questions: Sequence[list[Question]],
    origins: Sequence[tuple[int, str, str]],
    sentences: Sentences,
    rule: FindingMix,
    keys: tuple[int, Sequence[int], Sequence[int], Sequence[int]],
) -> list[list[Question]]:
    """Return each sample's questions with a share of them about findings, drawn by (seed, epochs, samples, times).

    ``origins`` are (store, dataset, case) of the samples.
    """
    seed, epochs, samples, times = keys
    count = max((len(asked) for asked in questions), default=0)
    parts: list[Any] = [np.asarray(part)[:, None] for part in (epochs, samples, times)]
    chance = uniform(Stream.FINDING, seed, *parts, np.arange(2 * count))
    picks = mix(Stream.FINDING, seed, *parts, np.arange(2 * count, 4 * count))
    mixed = []
    for row, (asked, (store, dataset, case)) in enumerate(zip(questions, origins, strict=True)):
        own = sentences.true(store, case)
        made = list(asked)
        for place in range(len(asked)):
            if chance[row, place] >= rule.ratio:
                continue
            pick = int(picks[row, place])
            entry = None
            if chance[row, count + place] < rule.negatives or not own:
                entry = sentences.absent(store, dataset, case, pick)
            if entry is None and own:
                entry = own[pick % len(own)]
            if entry is not None:
                word = int(picks[row, count + place])
                made[place] = Question(entry, entry.words[word % len(entry.words)])
        mixed.append(made)
    return mixed


def _entry(row: Mapping[str, Any]) -> ClassEntry:
    """Return a finding as what may be asked for: by its sentences, with its own mask values."""
    texts = tuple(row["texts"])
    sides = sorted(_SIDES & {word for text in texts for word in _WORD.findall(text.lower())})
    side = sides[0] if len(sides) == 1 else ""
    name = f"{row['case'].removeprefix(row['dataset'] + '/')} finding {row['finding'] + 1}"
    return ClassEntry(
        row["dataset"],
        0,
        name,
        tuple(row["mask_ids"]),
        side=side if side in ("left", "right") else "",
        prompts=texts,
    )


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9.]+", text.lower())).strip(". ")


def _places(text: str) -> Iterator[_Place]:
    """Yield each word that may be of a place, with the sides of the sentence: sentences that share one are near."""
    words = set(_WORD.findall(text.lower()))
    sides = tuple(sorted(words & _SIDES))
    return ((word, sides) for word in words - _SIDES - _COMMON)
