"""What to look for: classes with an id for the label map and a prompt for the model."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fve_pipeline.catalog import Catalog
from fve_pipeline.errors import PredictionError

__all__ = [
    "Target",
    "mirrored",
    "sentences_of",
    "targets_from_catalog",
    "targets_from_prompts",
    "targets_from_sentences",
]

_WITH_ID = re.compile(r"(\d+)=(.*)", re.DOTALL)
_SEPARATOR = "[SEP]"
_SIDE = re.compile(r"\b(left|right)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """One class: ``class_id`` in the label map, ``name`` for people, ``prompt`` for the model.

    A prompt of several sentences, with ``[SEP]`` between them, is looked for by each of them.
    """

    class_id: int
    name: str
    prompt: str


def targets_from_prompts(prompts: Sequence[str]) -> tuple[Target, ...]:
    """Targets of free prompts: ids 1, 2, … in the order given, or the id before a ``=`` ("7=liver in CT").

    ``[SEP]`` separates prompts, as in the released code: "liver[SEP]spleen" are two.

    Raises
    ------
    PredictionError
        For an empty prompt, an id outside 1 to 65535, one that comes twice, or no prompt at all.
    """
    targets = []
    parts = [part for text in prompts for part in text.split(_SEPARATOR)]
    for place, text in enumerate(parts, start=1):
        found = _WITH_ID.fullmatch(text)
        class_id, prompt = (int(found[1]), found[2]) if found else (place, text)
        targets.append(Target(class_id, prompt.strip(), prompt.strip()))
    return _checked(targets)


def targets_from_sentences(sentences: Mapping[int, str]) -> tuple[Target, ...]:
    """Targets of a challenge file's ``text_prompts``, by rising id; what ``[SEP]`` separates stays one class."""
    return _checked([Target(i, sentences[i].strip(), sentences[i].strip()) for i in sorted(sentences)])


def targets_from_catalog(
    catalog: Catalog, wanted: Sequence[str] = (), only: Sequence[int] | None = None
) -> tuple[Target, ...]:
    """Targets of a catalog's classes, each by its first prompt, by rising id.

    ``wanted`` names classes, or gives prompts of them, which are then asked as given; empty: every class but
    the unions, whose parts are asked for. ``only`` are the ids that a rendition is meant for.

    Raises
    ------
    PredictionError
        For a class that the catalog lacks, with the nearest names that it has.
    """
    specs = [spec for spec in catalog.classes if only is None or spec.id in only]
    if not wanted:
        plain = [spec for spec in specs if not spec.is_union]
        return _checked([Target(spec.id, spec.name, spec.prompts[0]) for spec in plain])
    known = {text.casefold(): spec for spec in specs for text in (*spec.prompts, spec.name)}
    targets = []
    for text in wanted:
        spec = known.get(text.strip().casefold())
        if spec is None:
            near = difflib.get_close_matches(text.casefold(), known, n=3)
            names = ", ".join(dict.fromkeys(known[key].name for key in near)) or ", ".join(
                s.name for s in specs[:12]
            )
            msg = f"catalog {catalog.name!r} has no class {text!r}; it has {names}. Name one, or leave out --catalog."
            raise PredictionError(msg)
        is_name = text.strip().casefold() == spec.name.casefold()
        targets.append(Target(spec.id, spec.name, spec.prompts[0] if is_name else text.strip()))
    return _checked(targets)


def sentences_of(prompt: str) -> list[str]:
    """The sentences that the model is asked for one prompt."""
    return [sentence.strip() for sentence in prompt.split(_SEPARATOR)]


def mirrored(prompt: str) -> str:
    """The prompt as it reads in a mirror: left and right exchanged, upper case kept."""

    def other(found: re.Match[str]) -> str:
        word = "right" if found[0].lower() == "left" else "left"
        return word.upper() if found[0].isupper() else word.capitalize() if found[0][0].isupper() else word

    return _SIDE.sub(other, prompt)


def _checked(targets: Sequence[Target]) -> tuple[Target, ...]:
    if not targets:
        msg = "nothing to look for: give --prompts, or a --catalog with classes"
        raise PredictionError(msg)
    seen: dict[int, str] = {}
    for target in targets:
        if not all(sentences_of(target.prompt)):
            said = f"the prompt {target.prompt!r}" if target.prompt else "the prompt"
            msg = f"{said} of class {target.class_id} is empty; say what to look for, such as 'liver in abdominal CT'"
            raise PredictionError(msg)
        if not 1 <= target.class_id <= 65535:
            msg = f"class id {target.class_id} of {target.prompt!r}; expected 1 to 65535 (0 is background)"
            raise PredictionError(msg)
        if target.class_id in seen:
            msg = f"class id {target.class_id} is given to {seen[target.class_id]!r} and to {target.prompt!r}"
            raise PredictionError(msg)
        seen[target.class_id] = target.prompt
    return tuple(targets)
