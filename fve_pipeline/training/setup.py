"""What is settled before the first step: the model, its frozen parts, and whether the data suit it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from fve_pipeline.errors import TrainError
from fve_pipeline.segmenter.checkpoint import load_backbone, load_checkpoint, read_checkpoint
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.segmenter.trained_on import TrainedOn
from fve_pipeline.training.config import ModelSettings, TrainConfig
from fve_pipeline.training.data import TrainingData, ValidationData

__all__ = ["Start", "build_model", "check_batch", "check_data", "part_of", "require_same", "trainable"]

# What slices of two stores must have in common.
_ENCODING = ("order", "boundary", "downsample", "resize", "size")

# In the released checkpoint, and read by nothing: they never get a gradient.
_IDLE = ("sem_seg_head.predictor.class_embed", "sem_seg_head.predictor.language_encoder.logit_scale")


def part_of(name: str) -> str:
    """The part of the model that a parameter belongs to, as ``frozen`` names it."""
    if name.startswith("backbone."):
        return "backbone"
    if ".pixel_decoder." in name:
        return "pixel_decoder"
    if ".language_encoder." in name:
        return "text"
    return "classifier" if ".predictor.classifier" in name else "decoder"


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that are trained."""
    return [p for p in model.parameters() if p.requires_grad]


class Start(NamedTuple):
    """A model with its starting weights, the data settings that those expect, and the cases that they have seen.

    Both are empty for weights that say nothing of them, and for random ones.
    """

    model: Segmenter
    expected: dict[str, Any]
    trained_on: TrainedOn


def build_model(settings: ModelSettings, seed: int) -> Start:
    """The model with its starting weights and frozen parts."""
    expected: dict[str, Any] = {}
    seen = TrainedOn()
    model = Segmenter(settings.config(), seed=seed if settings.init is None else None)
    if settings.init is not None:
        found = read_checkpoint(settings.init)
        load_checkpoint(model, found)
        expected, seen = found.settings, found.trained_on
    if settings.backbone is not None:
        load_backbone(model, settings.backbone)
        seen |= read_checkpoint(settings.backbone).trained_on
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in _IDLE and part_of(name) not in settings.frozen)
    if not trainable(model):
        msg = f"[model] frozen = {list(settings.frozen)}: nothing is left to train; leave a part out"
        raise TrainError(msg)
    return Start(model, expected, seen)


def check_batch(config: TrainConfig, samples: int, world: int) -> int:
    """Steps an epoch; TrainError if the batch does not divide, or there are too few samples for one."""
    batch, accumulate = config.optimisation.batch, config.run.accumulate
    if batch % (world * accumulate):
        msg = (
            f"[optimisation] batch = {batch} cannot be shared by {world} processes in {accumulate} pieces each "
            f"([run] accumulate); make it a multiple of {world * accumulate}"
        )
        raise TrainError(msg)
    if samples < batch:
        msg = f"the stores hold {samples} training samples, fewer than one batch of {batch}; lower [optimisation] batch"
        raise TrainError(msg)
    return samples // batch


def check_data(
    config: TrainConfig, data: TrainingData, validation: ValidationData | None, expected: Mapping[str, Any]
) -> None:
    """TrainError for data that the run would only find unfit hours later."""
    if validation is not None and len(validation) == 0:
        msg = (
            "the validation set is empty: no case of the stores has the split 'val'. Give other stores to --val, "
            "build with a larger --val, or --no-validation to go without"
        )
        raise TrainError(msg)
    empty = sorted(name for name, count in data.positives.items() if count == 0)
    if empty and not config.data.classes_without_positives:
        msg = (
            f"{len(empty)} classes have no training sample that holds them: {', '.join(empty[:8])}. Take them out "
            "of the catalog, add cases, or set [data] classes_without_positives = true to train on them as absent"
        )
        raise TrainError(msg)
    # Bio2Vol feeds plain slices to weights that were trained on encoded ones.
    keys: tuple[str, ...] = ("order", "boundary", "resize") if config.bio2vol is None else ("resize",)
    if config.bio2vol is None and data.settings.get("order", 0) > 1:  # up to order 1 nothing is halved
        keys += ("downsample",)
    differ = [
        f"{key}: store {data.settings.get(key)}, weights {expected[key]}"
        for key in keys
        if key in expected and data.settings.get(key) != expected[key]
    ]
    if differ and not config.model.any_store:
        msg = (
            f"the store is not made as the weights in {config.model.init} expect ({'; '.join(differ)}). Build one "
            "with the same settings (--preset released for the released weights), or set [model] any_store = true"
        )
        raise TrainError(msg)
    if validation is None or config.model.any_store:
        return
    if others := _differences(data.settings, validation.settings, _ENCODING):
        msg = (
            f"the stores to validate on are made otherwise than those to train on ({others}, validation second). "
            "Build them with the same settings, or set [model] any_store = true"
        )
        raise TrainError(msg)


def _differences(one: Mapping[str, Any], other: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Settings that both know and that differ."""
    return "; ".join(
        f"{key} {one[key]} and {other[key]}"
        for key in keys
        if key in one and key in other and one[key] != other[key]
    )


def require_same(
    config: TrainConfig, model: Segmenter, state: Mapping[str, Any], data: TrainingData, file: Path
) -> None:
    """What the curve depends on must be as it was; how the run is carried out may change.

    A preset is compared by what it stands for, too: that may differ between two versions of this program.
    """
    past = state["training"]
    now = config.model_dump(mode="json")
    for section in ("model", "optimisation", "losses", "data", "bio2vol"):
        then = past["config"].get(section) or {}
        for key, value in (now[section] or {"heads": None}).items():
            before = then.get(key)
            if (section, key) != ("data", "threads") and before != value:
                msg = f"{file}: was trained with [{section}] {key} = {before!r}, now {value!r}; restore it or start anew"
                raise TrainError(msg)
    for key in ("seed", "precision"):
        if past["config"]["run"][key] != now["run"][key]:
            msg = f"{file}: was trained with [run] {key} = {past['config']['run'][key]!r}, now {now['run'][key]!r}"
            raise TrainError(msg)
    for key, value in model.config.model_dump(mode="json").items():
        before = state["config"].get(key)
        if before != value:
            msg = f"{file}: its model has {key} = {before!r}, [model] now gives {value!r}; set it in [model] change"
            raise TrainError(msg)
    then = state["settings"]
    # The content id is of slices, whatever order they are encoded with.
    if differ := _differences(then, data.settings, [key for key in then if key != "bio2vol"]):
        msg = f"{file}: was trained on slices made otherwise ({differ}, now second); give the same stores"
        raise TrainError(msg)
    if past["content_id"] != data.content_id:
        msg = f"{file}: was trained on other data (content {past['content_id'][:12]}, now {data.content_id[:12]})"
        raise TrainError(msg)
