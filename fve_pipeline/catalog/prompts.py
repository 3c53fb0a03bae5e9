"""Text prompts for a class whose catalog gives none: plain sentences of name, modality and body site."""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["MODALITY_WORDS", "default_prompts", "side_of"]

# How a report writes each modality: the short word, and the long one where it reads better.
MODALITY_WORDS = {
    "CT": ("CT", "computed tomography"),
    "MR": ("MR", "magnetic resonance imaging"),
    "PET": ("PET", "positron emission tomography"),
    "US": ("ultrasound", "ultrasonography"),
    "Microscopy": ("microscopy", "volume microscopy"),
}

_WITH_SITE = (
    "{Name}",
    "{Name} in {site} {short}",
    "{Name} on {long} of the {site}",
    "The {name} as seen in a {short} volume of the {site}",
    "Segment the {name} in this {site} {short}",
    "{Site} {short} showing the {name}",
    "Voxels that belong to the {name} in {site} {short}",
    "Outline of the {name} in a {site} {short} scan",
)

_WITHOUT_SITE = (
    "{Name}",
    "{Name} in {short}",
    "{Name} on {long}",
    "The {name} as seen in a {short} volume",
    "Segment the {name} in this {short}",
    "Voxels that belong to the {name} in {short}",
)


def default_prompts(name: str, modality: str, site: str = "", technique: str = "") -> tuple[str, ...]:
    """Sentences for one class, the bare name first.

    ``site`` is the part of the body (``"abdomen"``) and ``technique`` what to say instead of the modality
    where that is too coarse (``"T2-weighted MR"``, ``"electron microscopy"``).

    Examples
    --------
    >>> default_prompts("left kidney", "CT", "abdomen")[1]
    'Left kidney in abdomen CT'
    """
    short, long = (technique, technique) if technique else MODALITY_WORDS[modality]
    words = {
        "name": name,
        "Name": _capital(name),
        "site": site,
        "Site": _capital(site),
        "short": short,
        "long": long,
    }
    return tuple(sentence.format(**words) for sentence in (_WITH_SITE if site else _WITHOUT_SITE))


def side_of(name: str) -> Literal["left", "right"] | None:
    """The side that a class's name says, when it says one: by a word of its own (``kidney_left`` counts)."""
    words = set(re.findall(r"[a-z]+", name.lower()))
    if ("left" in words) == ("right" in words):
        return None
    return "left" if "left" in words else "right"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
