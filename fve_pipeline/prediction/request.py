"""What is asked of every volume: targets, how it is shown to the model, and what is averaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from fve_pipeline.prediction.network import Averaging
from fve_pipeline.prediction.pictures import Intensity
from fve_pipeline.prediction.prompts import Target

__all__ = ["Request", "Shown"]


@dataclass(frozen=True)
class Shown:
    """How a volume is shown to the model, and the places of the targets that are looked for there; None: all."""

    intensity: Intensity
    places: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Request:
    """What is asked of every volume, in each of the ways in which it is ``shown``.

    ``targets`` None: those of each file's own ``text_prompts`` (challenge npz), which also say whether
    labels are instances; with ``targets``, ``instance_labels`` says it. Those are split along predicted edges or
    written as one merged mask, as ``instances`` says; None is as the checkpoint's preset does, and the released
    code does not split. ``overlaps`` says whether every class is also written for itself, ``keep`` as a file a class or
    ``layers`` as one file of a layer a class, beside the merged label map. ``views`` None: the one
    that the checkpoint's rule chooses. ``own_targets``, by the path of a volume, go before ``targets``: a case's findings.
    """

    targets: tuple[Target, ...] | None
    shown: tuple[Shown, ...]
    averaging: Averaging = field(default_factory=Averaging)
    views: tuple[str, ...] | None = None
    instance_labels: bool = False
    instances: Literal["split", "merged"] | None = None
    overlaps: Literal["merge", "keep", "layers"] = "merge"
    own_targets: Mapping[Path, tuple[Target, ...]] = field(default_factory=dict)

    @property
    def described(self) -> dict[str, Any]:
        """All that decides a result besides the targets; what is not asked for is left out."""
        left_out = {"targets", "own_targets", *(("overlaps",) if self.overlaps == "merge" else ())}
        return {key: value for key, value in asdict(self).items() if key not in left_out}
