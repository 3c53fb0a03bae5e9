"""The keys of a family of datasets that share one prompt file, as the CVPR 2025 challenge ships them."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["PromptFile", "SharedSubject"]


class SharedSubject(BaseModel):
    """Cases of several datasets that are one patient: ``pattern`` finds the patient's name in the case's.

    The first group of the regular expression is the subject within ``subjects``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pattern: str
    subjects: str

    @field_validator("pattern")
    @classmethod
    def _one_group(cls, text: str) -> str:
        try:
            groups = re.compile(text).groups
        except re.error as error:
            msg = f"{text!r} is no regular expression: {error}"
            raise ValueError(msg) from error
        if groups != 1:
            msg = f"{text!r} must have exactly one group, the subject"
            raise ValueError(msg)
        return text


class PromptFile(BaseModel):
    """A JSON of ``{dataset: {"1": [sentences], ..., "instance_label": 0}}`` and how files map to datasets.

    A file belongs to the dataset that is the name of a folder on its path, or else the longest dataset name
    or ``aliases`` key that its own name begins with. ``modalities`` gives each dataset's modality by the
    beginning of its name. ``shared`` names the patients that several datasets have in common.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    modalities: dict[str, Literal["CT", "MR", "PET", "US", "Microscopy"]]
    aliases: dict[str, str] = Field(default_factory=dict)
    shared: tuple[SharedSubject, ...] = ()
