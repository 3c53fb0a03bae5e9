"""Which checkpoints have learnt from cases that are withdrawn, by what they record of themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from fve_pipeline.errors import CheckpointError
from fve_pipeline.segmenter.checkpoint import read_checkpoint

__all__ = ["SeenBy", "checkpoints_that_saw"]


@dataclass(frozen=True, slots=True)
class SeenBy:
    """A checkpoint that saw ``cases`` of the withdrawn ones; None when it does not say what it was trained on."""

    file: Path
    cases: int | None


def checkpoints_that_saw(
    folders: Iterable[Path], cases: Collection[str], hashes: Collection[str]
) -> list[SeenBy]:
    """Return the checkpoints below ``folders`` that were trained on any of ``cases``, or that do not say.

    Those that were given away without names are known by the sha256 of the images, ``hashes``. What is no checkpoint
    of ours is passed over.
    """
    found = []
    for folder in folders:
        for file in sorted(path for path in folder.rglob("*") if path.suffix in (".pt", ".safetensors")):
            try:
                trained = read_checkpoint(file).trained_on
            except CheckpointError:
                continue
            seen = [one for one in trained.cases if one.case in cases or one.source_sha256 in hashes]
            if seen or not trained.cases:
                found.append(SeenBy(file, len(seen) if trained.cases else None))
    return found
