"""The settings of a training run: two named protocols, and a TOML file over them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fve_pipeline.bio2vol.settings import PAPER, Bio2VolSettings
from fve_pipeline.errors import TrainError
from fve_pipeline.runtime.suggest import beside, near
from fve_pipeline.runtime.units import parse_duration
from fve_pipeline.segmenter.config import PRESETS, SegmenterConfig, preset

__all__ = ["PROTOCOLS", "ModelSettings", "RunSettings", "TrainConfig", "first_problem", "load_config"]

Positive = Annotated[int, Field(ge=1)]
Part = Literal["backbone", "pixel_decoder", "text", "decoder", "classifier"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSettings(_Section):
    """Which network, and what it starts from.

    ``init`` is a whole checkpoint (the released file, safetensors, ours), ``backbone`` one whose image
    backbone alone is taken. ``change`` overrides fields of the preset, such as ``text_padding``.
    ``frozen`` names parts that are not trained. ``any_store`` allows a store whose order, boundary or
    resize differ from the checkpoint's.
    """

    preset: str = "full"
    init: str | None = None
    backbone: str | None = None
    change: dict[str, Any] = {}
    frozen: tuple[Part, ...] = ()
    any_store: bool = False

    def config(self) -> SegmenterConfig:
        """The preset with its changes; TrainError naming what is wrong."""
        if self.preset not in PRESETS:
            msg = f"[model] preset = {self.preset!r}: unknown; known: {', '.join(PRESETS)}"
            raise TrainError(msg)
        try:
            return SegmenterConfig.model_validate({**preset(self.preset).model_dump(), **self.change})
        except ValidationError as error:
            msg = f"[model.change]: {first_problem(error)}"
            raise TrainError(msg) from error


class Optimisation(_Section):
    """AdamW with a cosine schedule to zero, over all parameters alike.

    ``batch`` is the global batch in images, whatever the number of ranks. ``clip`` bounds the gradient's
    norm; 0 leaves it.
    """

    batch: Positive
    epochs: Positive
    clip: Annotated[float, Field(ge=0)]
    lr: Annotated[float, Field(gt=0)] = 1e-5
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 0


class LossSettings(_Section):
    """Weights of the losses: Dice + BCE count 1."""

    classification: float = 1.0
    edge: float = 1.0
    positive: float = 3.0


class DataSettings(_Section):
    """What a step is fed.

    ``prompts`` classes are drawn for each image. ``augment``: the whole ``recipe`` of the released model,
    only the ``swap`` of the two context channels, or ``none``. ``sampling``: every sample ``once`` an epoch,
    datasets by the square root of their size (``tempered``), or classes alike with a fifth of empty slices
    (``class_balanced``). ``order`` is that of the encoding, where a store of plain slices leaves it open.
    ``findings`` of the questions are about the case's own findings, where a store has some, and ``negatives`` of these
    about what it lacks. ``wordings``: classes are asked for as the ``catalog`` words them, or also in the words of the
    ``lexicon``, but for those that it holds out. ``classes_without_positives`` says to go on when a class has no sample
    that holds it. ``threads`` read ahead of the step.
    """

    prompts: Positive = 4
    augment: Literal["recipe", "swap", "none"] = "recipe"
    sampling: Literal["once", "tempered", "class_balanced"] = "once"
    order: Annotated[int, Field(ge=0)] | None = None
    findings: Annotated[float, Field(ge=0, le=1)] = 0.5
    negatives: Annotated[float, Field(ge=0, le=1)] = 0.25
    wordings: Literal["catalog", "lexicon"] = "catalog"
    classes_without_positives: bool = False
    threads: Positive = 2


class RunSettings(_Section):
    """How the run is carried out; none of this changes what is learnt, precision apart.

    ``precision``: ``auto`` is bf16 on a GPU and float32 on a CPU; ``tf32`` is float32 whose products and convolutions a GPU
    takes with ten bits of mantissa. ``accumulate`` splits a rank's share of the batch. ``recompute`` trades memory for a
    third more compute. ``compile`` runs backbone and pixel decoder through torch.compile, ``fused`` lets one kernel update
    all parameters. Checkpoints are written every ``checkpoint_every`` steps and the last ``keep`` stay. ``trackers`` get the
    run's numbers and pictures: ``tensorboard``, ``mlflow``, or what an entry point brings. ``stop_after``, such as
    ``"23h30m"``, ends the run with a checkpoint before a queue's limit does.
    """

    seed: int = 0
    precision: Literal["auto", "bf16", "tf32", "float32"] = "auto"
    accumulate: Positive = 1
    recompute: bool = False
    compile: bool = False
    fused: bool = True
    device: str = "auto"
    checkpoint_every: Positive = 500
    keep: Positive = 2
    validate_every: Positive = 1
    validation_images: Annotated[int, Field(ge=0)] = 4
    log_every: Positive = 1
    stop_after: str | None = None
    trackers: tuple[str, ...] = ("tensorboard",)

    @field_validator("stop_after")
    @classmethod
    def _duration(cls, text: str | None) -> str | None:
        if text is not None:
            parse_duration(text)
        return text


class TrainConfig(_Section):
    """A whole run. ``protocol`` fills what [optimisation] leaves out.

    A table ``bio2vol``, which may be empty, adapts the model to volumes; what [model], [optimisation] and [data]
    leave out is then filled from that paper, whatever the protocol.
    """

    protocol: Literal["finetune", "paper"] = "finetune"
    model: ModelSettings = ModelSettings()
    optimisation: Optimisation
    losses: LossSettings = LossSettings()
    data: DataSettings = DataSettings()
    run: RunSettings = RunSettings()
    bio2vol: Bio2VolSettings | None = None

    @classmethod
    def of(cls, raw: dict[str, Any]) -> TrainConfig:
        """From a TOML document's tables; pydantic's ValidationError says what is wrong."""
        defaults = {"optimisation": PROTOCOLS.get(str(raw.get("protocol", "finetune")), {})}
        if raw.get("bio2vol") is not None:
            defaults = PAPER
        # What is no table is left as it is, for the check to name it.
        tables = {
            name: {**table, **given}
            for name, table in defaults.items()
            if isinstance(given := raw.get(name, {}), dict)
        }
        return cls.model_validate({**raw, **tables})


# The fine-tuning configuration of the released model, and the paper's own training (section 5.2, table 7;
# it names no clipping).
PROTOCOLS: dict[str, dict[str, Any]] = {
    "finetune": {"batch": 8, "epochs": 10, "clip": 5.0},
    "paper": {"batch": 320, "epochs": 80, "clip": 0.0},
}


def first_problem(error: ValidationError) -> str:
    """Return where the first thing wrong is, what is wrong there, and what was found."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']} (found {problem.get('input')!r})"


def _meant(error: ValidationError) -> str:
    """Return the key that was probably meant, where the first thing wrong is a key that is not known."""
    problem = error.errors()[0]
    *tables, key = problem["loc"]
    model: Any = TrainConfig
    for table in tables:
        field = model.model_fields.get(table)
        kinds = [] if field is None else [field.annotation, *get_args(field.annotation)]
        model = next((kind for kind in kinds if hasattr(kind, "model_fields")), None)
        if model is None:
            return ""
    return near(str(key), model.model_fields) if problem["type"] == "extra_forbidden" else ""


def load_config(path: Path | None, adapt: str | None = None, **overrides: Any) -> TrainConfig:
    """The configuration in ``path`` (none: the default protocol), ``overrides`` of its top level on top.

    ``adapt`` names an adaptation, ``bio2vol``, whose table may then be left out.

    Raises
    ------
    TrainError
        If the file is not there, not TOML, or holds a key or value that is not known; it is named.
    """
    raw: dict[str, Any] = {}
    if path is not None:
        try:
            raw = tomllib.loads(path.read_text())
        except FileNotFoundError as error:
            msg = f"{path}: no such file. {beside(path)}Give a TOML file to --config, or none for the finetune protocol"
            raise TrainError(msg) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            msg = f"{path}: not TOML: {error}"
            raise TrainError(msg) from error
    if adapt not in (None, "bio2vol"):
        msg = f"--adapt {adapt}: unknown; known: bio2vol"
        raise TrainError(msg)
    if adapt is not None:
        raw = {adapt: {}, **raw}
    try:
        return TrainConfig.of({**raw, **overrides})
    except ValidationError as error:
        msg = f"{path or 'configuration'}: {first_problem(error)}. {_meant(error)}docs/training.md lists every key"
        raise TrainError(msg) from error
