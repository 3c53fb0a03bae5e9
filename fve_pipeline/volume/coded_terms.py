"""What classes are called in SNOMED CT: a shipped table of names, and a side that is said beside the structure."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from fve_pipeline.volume.structures import same_name

__all__ = ["CodedTerm", "Coding", "coded_term"]

_SIDED = re.compile(r"(?:(?P<before>.*?) ?\b)?(?P<side>left|right)\b ?(?P<after>.*)")


@dataclass(frozen=True, slots=True)
class Coding:
    """One coded word: its code, scheme and meaning, each as DICOM limits them."""

    code: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class CodedTerm:
    """A class as a segment is coded: category and type, the side, and for an abnormality where it is."""

    category: Coding
    type: Coding
    side: Coding | None = None
    region: Coding | None = None


_ANATOMY = Coding("91723000", "SCT", "Anatomical Structure")
_ABNORMAL = Coding("49755003", "SCT", "Morphologically Abnormal Structure")
_TISSUE = Coding("85756007", "SCT", "Tissue")
_SIDES = {"left": Coding("7771000", "SCT", "Left"), "right": Coding("24028007", "SCT", "Right")}


def coded_term(name: str) -> CodedTerm:
    """Return how a class is coded by its name; by a private code of its own where the table does not know it.

    >>> coded_term("Left kidney").type.meaning, coded_term("Left kidney").side.meaning
    ('Kidney', 'Left')
    """
    plain = same_name(name)
    side = None
    if (found := _table().get(plain)) is None and (parts := _SIDED.fullmatch(plain)):
        rest = re.sub(r" +", " ", f"{parts['before'] or ''} {parts['after']}").strip()
        found, side = _table().get(rest), _SIDES[parts["side"]]
    if found is None:
        own = re.sub(r"[^A-Z0-9]+", "_", plain.upper()).strip("_")[:16] or "CLASS"
        return CodedTerm(_TISSUE, Coding(own, "99FVE", name[:64]))
    kind, where = found
    if not where:
        return CodedTerm(_ANATOMY, kind, side)
    return CodedTerm(_ABNORMAL, kind, side, _table()[where][0] if where != "-" else None)


@cache
def _table() -> Mapping[str, tuple[Coding, str]]:
    """Return coding and organ by name: no organ is anatomy, "-" an abnormality of no one organ."""
    text = (resources.files("fve_catalogs") / "snomed.csv").read_text(encoding="utf-8")
    return {
        same_name(row["class"]): (Coding(row["code"], "SCT", row["meaning"]), row["abnormality_in"])
        for row in csv.DictReader(text.splitlines())
    }
