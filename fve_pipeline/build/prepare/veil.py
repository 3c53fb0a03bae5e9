"""Names that shall not be known: subjects, cases and paths by salted hashes in all that a build records.

A folder or file is as a rule called by its patient, so every path is hidden, and every word of one in a note
or a reason. What is hidden stays equal to itself under the same salt: runs go on, and appends match.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from fve_pipeline.build.prepare.facts import CaseFacts
from fve_pipeline.catalog.case import Case
from fve_pipeline.catalog.kinds import ENDINGS
from fve_pipeline.volume.label_file import LabelFile

__all__ = ["hidden_case", "hidden_facts", "hidden_path", "hidden_text", "salt_mark", "salted"]

_ENDINGS = (*ENDINGS[:-1], ".dcm", ".png")


def salt_mark(salt: str | None) -> str | None:
    """Return what a store records of a salt: enough to refuse another one, too little to find it."""
    return None if salt is None else hashlib.sha256(f"salt\0{salt}".encode()).hexdigest()[:16]


def salted(text: str, salt: str) -> str:
    """What a name becomes when it shall not be known: equal names stay equal."""
    return hashlib.sha256(f"{salt}\0{text}".encode(errors="surrogateescape")).hexdigest()[:16]


def hidden_path(path: str, salt: str) -> str:
    """A path as one hash with the kind of its file."""
    return salted(path, salt) + _ending(path)


def _ending(path: str) -> str:
    return next((end for end in _ENDINGS if path.lower().endswith(end)), "")


def hidden_case(case: Case, salt: str) -> Case:
    """The case as a recipe may describe it. Its name and subject are hidden already."""
    return replace(
        case,
        image=hidden_path(case.image, salt),
        series=None if case.series is None else salted(case.series, salt),
        labels=tuple(_hidden_label(label, salt) for label in case.labels),
        findings=tuple(
            replace(
                one,
                table=hidden_path(one.table, salt),
                label=None if one.label is None else _hidden_label(one.label, salt),
            )
            for one in case.findings
        ),
        renditions=tuple(
            one if one.image is None else replace(one, image=hidden_path(one.image, salt))
            for one in case.renditions
        ),
    )


def _hidden_label(label: LabelFile, salt: str) -> LabelFile:
    slices_of = None if label.slices_of is None else hidden_path(label.slices_of, salt)
    return replace(label, path=hidden_path(label.path, salt), slices_of=slices_of)


def hidden_facts(facts: CaseFacts, files: Sequence[str], salt: str) -> CaseFacts:
    """The facts of a case without its paths; ``files`` are all that it was read from, under the root."""
    return facts.model_copy(
        update={
            "source": hidden_path(facts.source, salt),
            "labels": tuple(hidden_path(path, salt) for path in facts.labels),
            "notes": tuple(hidden_text(note, files, salt) for note in facts.notes),
            "findings": tuple(
                one.model_copy(update={"source": hidden_path(one.source, salt)}) for one in facts.findings
            ),
        }
    )


def hidden_text(text: str, paths: Iterable[str], salt: str) -> str:
    """The text without any of the paths, and without any part of one."""
    words: dict[str, str] = {}
    for path in paths:
        words[path] = hidden_path(path, salt)
        for part in path.split("/"):
            stem = part.removesuffix(_ending(part))
            words[part] = hidden_path(part, salt)
            words[stem] = salted(stem, salt)
    # A folder called 3 says nothing of anyone, and hiding it would spoil every count in the text.
    known = sorted((word for word in words if not (word.isdigit() and len(word) < 4)), key=len, reverse=True)
    if not known:
        return text
    found = re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, known))})(?![^\W_])")
    return found.sub(lambda match: words[match[0]], text)
