"""What is asked of a build, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fve_pipeline.build.cases import Dataset
from fve_pipeline.build.prepare.facts import Failure
from fve_pipeline.catalog.errata import Erratum
from fve_pipeline.store.schema import StoreSettings

__all__ = ["BuildRequest", "BuildSummary", "PrepareRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareRequest:
    """Cases to prepare in the folder ``work``: those of ``datasets``, or of them the ids in ``only``.

    With a ``salt``, subjects are known by their salted hash. ``errata`` correct labels, by the sha256 of the image.
    """

    datasets: Sequence[Dataset]
    work: Path
    settings: StoreSettings
    only: frozenset[str] | None = None
    salt: str | None = None
    errata: Mapping[str, Erratum] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest(PrepareRequest):
    """A store ``out`` to build of them, to append them to, or, with ``overwrite``, to replace by them."""

    out: str
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class BuildSummary:
    """What a build did: cases and samples in the store now, those that are new, and the cases that failed."""

    out: str
    cases: int
    samples: int
    new_cases: int
    new_samples: int
    shards: int
    content_id: str
    failures: tuple[Failure, ...]
