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

# How a site reads before a modality: "abdominal CT". Other sites are used as they are.
_ADJECTIVES = {
    "abdomen": "abdominal",
    "chest": "thoracic",
    "head": "head",
    "heart": "cardiac",
    "neck": "neck",
    "pelvis": "pelvic",
    "spine": "spinal",
    "whole body": "whole-body",
}

_WITH_SITE = (
    "{Name}",
    "{Name} in {adjective} {short}",
    "{Name} on {long} of the {site}",
    "The {name} as seen in {a_adjective} {short} volume",
    "Segmentation of the {name} in {adjective} {short}",
    "{Adjective} {short} showing the {name}",
    "Voxels that belong to the {name} in {short} of the {site}",
    "Outline of the {name} in {a_adjective} {short} scan",
)

_WITHOUT_SITE = (
    "{Name}",
    "{Name} in {short}",
    "{Name} on {long}",
    "The {name} as seen in {a_short} volume",
    "Segmentation of the {name} in {short}",
    "Voxels that belong to the {name} in {short}",
)


def default_prompts(name: str, modality: str, site: str = "", technique: str = "") -> tuple[str, ...]:
    """Sentences for one class, the bare name first.

    ``site`` is the part of the body (``"abdomen"``) and ``technique`` what to say instead of the modality
    where that is too coarse (``"T2-weighted MR"``, ``"electron microscopy"``).

    Examples
    --------
    >>> default_prompts("left kidney", "CT", "abdomen")[1]
    'Left kidney in abdominal CT'
    """
    short, long = (technique, technique) if technique else MODALITY_WORDS[modality]
    adjective = _ADJECTIVES.get(site, site)
    words = {
        "name": name,
        "Name": _capital(name),
        "site": site,
        "adjective": adjective,
        "Adjective": _capital(adjective),
        "short": short,
        "long": long,
        "a_adjective": _with_article(adjective),
        "a_short": _with_article(short),
    }
    return tuple(sentence.format(**words) for sentence in (_WITH_SITE if site else _WITHOUT_SITE))


def side_of(name: str) -> Literal["left", "right"] | None:
    """The side of the body that a class's name says, by a word of its own (``kidney_left`` counts).

    The chambers of the heart have none: the left ventricle of a mirrored heart is still its left ventricle,
    whereas a mirrored left kidney is what a right one looks like.
    """
    words = set(re.findall(r"[a-z]+", name.lower()))
    if ("left" in words) == ("right" in words) or words & {"ventricle", "ventricular", "atrium", "atrial"}:
        return None
    return "left" if "left" in words else "right"


def _with_article(text: str) -> str:
    """``MR`` and ``MRI`` are spelt out, with a vowel first; ``ultrasound`` begins with one."""
    return f"an {text}" if text[:1].lower() in "aeio" or text[:2] in ("MR", "ul") else f"a {text}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
