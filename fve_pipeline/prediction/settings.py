"""How slices are made for a model: what its checkpoint records, so that they are made as in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fve_pipeline.build.settings import PRESETS
from fve_pipeline.errors import PredictionError
from fve_pipeline.imaging.resample import ResizeMethod
from fve_pipeline.imaging.views import ViewRule

__all__ = ["SliceSettings"]


@dataclass(frozen=True)
class SliceSettings:
    """The settings of a store that decide what a model sees (``fve_pipeline.store.schema.StoreSettings``)."""

    order: int
    boundary: str
    resize: ResizeMethod
    size: int
    downsample: str = "mean"
    views_rule: ViewRule = "paper"
    intensity_rule: str = "window"
    percentiles_over: str = "positive"
    nonfinite: float | None = None
    resample_tilt: bool = False

    @classmethod
    def recorded(cls, settings: Mapping[str, Any], name: str) -> SliceSettings:
        """From what a checkpoint records; what it leaves out follows the preset that the rest belongs to.

        Raises
        ------
        PredictionError
            If order, boundary, resize or size is not recorded: any guess would feed the model other images
            than it was trained on.
        """
        lacking = [key for key in ("order", "boundary", "resize", "size") if key not in settings]
        if lacking:
            msg = (
                f"{name}: does not record {', '.join(lacking)} of the slices it was trained on; save the weights "
                "again with their settings (fve_pipeline.segmenter.checkpoint.save_weights)"
            )
            raise PredictionError(msg)
        preset = "released" if settings["resize"] == "released" else "paper"
        values = {**PRESETS[preset], **settings}
        known = {key: values[key] for key in cls.__dataclass_fields__ if key in values}
        # A list of views made a training set; prediction slices along one, chosen by the preset's rule.
        if known["views_rule"] not in PRESETS:
            known["views_rule"] = preset
        return cls(**known)
