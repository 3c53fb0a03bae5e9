"""What the prepare stage found out about one case: all that planning and the tables need."""

from __future__ import annotations

import hashlib

from pydantic import BaseModel, ConfigDict

from fve_pipeline.imaging.statistics import ClassFacts

__all__ = ["CaseFacts", "Failure", "FindingFacts", "SourceStat"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceStat(_Frozen):
    """A source file's size in bytes and modification time in ns: while both hold, it is not read again."""

    path: str
    size: int
    mtime_ns: int


class FindingFacts(_Frozen):
    """One finding: its wordings, the label ids that it is where it has some, and the ``source`` of its mask."""

    texts: tuple[str, ...]
    ids: tuple[int, ...]
    voxels: int
    source: str


class CaseFacts(_Frozen):
    """One prepared case. ``group`` is its folder in the prepared store; ``fingerprint`` names what made it.

    ``shape`` (z,y,x); ``spacing`` (z,y,x) in mm; ``affine`` rows of the 4×4 matrix from the index (z,y,x,1)
    to LPS (x,y,z,1) in mm; ``quantiles`` of the first rendition's uint8 image at 0.5, 5, 25, 50, 75, 95 and
    99.5 percent; ``recipe`` is the job that made it, without paths of this machine. ``combinations`` are the sets of
    class ids that the values from ``first_combination`` on stand for in the prepared labels, one after another; ``-1``
    is the first of the ``findings``, ``-2`` the second.
    """

    case: str
    dataset: str
    subject: str
    modality: str
    split: str | None
    fingerprint: str
    group: str
    source: str
    source_sha256: str
    source_bytes: int
    labels: tuple[str, ...]
    labels_sha256: tuple[str, ...]
    stats: tuple[SourceStat, ...]
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    affine: tuple[tuple[float, float, float, float], ...]
    orientation: str
    renditions: tuple[str, ...]
    classes: tuple[ClassFacts, ...]
    pixels_sha256: str
    quantiles: tuple[float, ...]
    gradient_energy: float
    resampled_labels: bool
    decision: str
    notes: tuple[str, ...]
    recipe: str
    first_combination: int = 0
    combinations: tuple[tuple[int, ...], ...] = ()
    findings: tuple[FindingFacts, ...] = ()

    @property
    def inputs(self) -> str:
        """Names what the prepared arrays were made from and how: equal inputs, equal arrays."""
        made_from = "/".join([self.fingerprint, self.source_sha256, *self.labels_sha256])
        return hashlib.sha256(made_from.encode()).hexdigest()

    @property
    def corrected(self) -> bool:
        """Whether errata changed the labels."""
        return any(note.startswith("errata: ") for note in self.notes)


class Failure(_Frozen):
    """A case that could not be prepared, and why."""

    case: str
    dataset: str
    stage: str
    reason: str
