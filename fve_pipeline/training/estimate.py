"""What a run would take, before it is started: parameters, memory, steps."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fve_pipeline.bio2vol.network import PathLayout, Volumes
from fve_pipeline.bio2vol.sampling import sub_volume
from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.segmenter.checkpoint import read_checkpoint
from fve_pipeline.segmenter.losses import Losses, segmentation_losses
from fve_pipeline.segmenter.model import Prediction, Segmenter
from fve_pipeline.segmenter.randomness import CounterRandomness
from fve_pipeline.segmenter.tokens import Tokens
from fve_pipeline.training.config import TrainConfig
from fve_pipeline.training.precision import Precision
from fve_pipeline.training.setup import check_batch, part_of

__all__ = ["FORMULAS", "Cost", "Estimate", "estimate", "measured_rate", "pass_cost", "training_pass"]

# Tokens of a longish prompt, for the estimate.
_WORDS = 24


@dataclass(frozen=True)
class Estimate:
    """Parameters by part as (all, trained); bytes a process; steps; operations of a step over the global batch."""

    parts: dict[str, tuple[int, int]]
    samples: int
    steps_per_epoch: int
    steps: int
    weights: int
    gradients: int
    optimiser: int
    activations: int
    flops: int

    @property
    def memory(self) -> int:
        """Bytes a process needs at its peak, about."""
        return self.weights + self.gradients + self.optimiser + self.activations


@dataclass(frozen=True)
class Cost:
    """What one pass there and back takes: bytes kept for going back, and floating-point operations."""

    activations: int
    flops: int


def pass_cost(
    model: Segmenter, images: int, prompts: int, size: int, bio2vol: Bio2VolSettings | None = None
) -> Cost:
    """Count a training pass over ``images``, in float32, parameters left out of the bytes.

    With ``bio2vol``, ``images`` counts sub-volumes. Counted on the meta device, where nothing is computed: what autograd
    saves is weighed by its storage, products and convolutions by their sizes, a multiplication and an addition each one
    operation, recomputed activations twice.
    """
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    seen: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            seen[storage._cdata] = tensor  # held, so that no later storage takes its place
        return tensor

    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            losses = training_pass(model, images, prompts, size, bio2vol)
        held = sum(tensor.untyped_storage().nbytes() for tensor in seen.values())
        losses.total.sum().backward()  # type: ignore[no-untyped-call]
    return Cost(held, counter.get_total_flops())


def training_pass(
    model: Segmenter, images: int, prompts: int, size: int, bio2vol: Bio2VolSettings | None = None
) -> Losses:
    """Run the model, on the device where it lies, on ``images`` empty images of ``size``² with as many prompts each."""
    device = model.pixel_mean.device
    rows = images * prompts
    tokens = Tokens(
        torch.zeros(rows, _WORDS, dtype=torch.int64, device=device),
        torch.full((rows,), _WORDS, dtype=torch.int64, device=device),
    )
    layout, slices, read = None, images, images
    if bio2vol is not None:
        cut = sub_volume(0, range(bio2vol.depth), bio2vol)
        layout = PathLayout.of([cut.places] * images, bio2vol)
        slices, read = len(layout.owner), len(layout.image)
    draws = CounterRandomness(
        torch.zeros(slices, dtype=torch.int64, device=device),
        torch.zeros(read, prompts, dtype=torch.int64, device=device),
    )
    pixels = torch.zeros(slices, 3, size, size, device=device)
    prediction: Prediction
    if bio2vol is not None and layout is not None:
        prediction = Volumes(model, bio2vol)(pixels, layout, tokens, draws)
    else:
        prediction = model(pixels, tokens, draws)
    return segmentation_losses(
        prediction, torch.zeros(slices, prompts, size, size, dtype=torch.int64, device=device)
    )


def _convolution_back(
    gradient: Sequence[int], image: Sequence[int], weight: Sequence[int], *rest: Any, out_shape: Any = None
) -> int:
    """As much as forward for each gradient that is wanted; torch's own formula takes no groups into account."""
    del image, out_shape
    wanted = rest[-1]
    return 2 * math.prod(gradient) * math.prod(weight[1:]) * (bool(wanted[0]) + bool(wanted[1]))


# What torch's counter has wrong.
FORMULAS = {torch.ops.aten.convolution_backward: _convolution_back}


def estimate(config: TrainConfig, samples: int, size: int, world: int = 1) -> Estimate:
    """The run of ``config`` on ``samples`` training samples of ``size`` pixels, shared by ``world`` processes.

    Raises
    ------
    TrainError
        As the run itself would: a batch that does not divide, too few samples, a wrong configuration.
    """
    per_epoch = check_batch(config, samples, world)
    for weights in (config.model.init, config.model.backbone):
        if weights is not None:
            read_checkpoint(weights)
    with torch.device("meta"):
        model = Segmenter(config.model.config(), seed=None).train()
    model.recompute_activations(on=config.run.recompute)
    parts: dict[str, tuple[int, int]] = {}
    for name, parameter in model.named_parameters():
        part = part_of(name)
        parameter.requires_grad_(part not in config.model.frozen)
        every, trained = parts.get(part, (0, 0))
        parts[part] = every + parameter.numel(), trained + parameter.requires_grad * parameter.numel()
    every, trained = (sum(counts[i] for counts in parts.values()) for i in (0, 1))
    micro = config.optimisation.batch // (world * config.run.accumulate)
    # Under bf16 autocast most of what is kept is half as wide; losses, norms and masks are not.
    cuda = config.run.device in ("auto", "cuda") and torch.cuda.is_available()
    width = 0.6 if Precision.of(config.run.precision, "cuda" if cuda else "cpu").half else 1.0
    cost = pass_cost(model, micro, config.data.prompts, size, config.bio2vol)
    return Estimate(
        parts=parts,
        samples=samples,
        steps_per_epoch=per_epoch,
        steps=per_epoch * config.optimisation.epochs,
        weights=4 * every,
        gradients=4 * trained,
        optimiser=8 * trained,
        activations=int(width * cost.activations),
        flops=cost.flops * world * config.run.accumulate,
    )


# A pass that took longer with one image is slow for its size, not for what surrounds it.
_SECONDS = 2.0


def measured_rate(config: TrainConfig, size: int, world: int, device: str) -> float:
    """Operations a second that this device reaches in training: by the pieces of a batch that a step takes.

    The optimiser's step is in it, data are not. Where a single image takes seconds already, that is measured alone.
    """
    with torch.device("meta"):
        counted = Segmenter(config.model.config(), seed=None).train()
    model = Segmenter(config.model.config()).train().to(device)
    optimiser = torch.optim.AdamW(model.parameters(), fused=config.run.fused)
    precision = Precision.of(config.run.precision, device)
    micro = config.optimisation.batch // (world * config.run.accumulate)
    took: list[float] = []
    for images in (1, *[micro] * 5):  # the first pays for what is set up once
        started = time.perf_counter()
        with precision.products(), precision.autocast(device):
            losses = training_pass(model, images, config.data.prompts, size, config.bio2vol)
        losses.total.sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        took.append(seconds)
        if len(took) == 1 and seconds > _SECONDS:
            break
    return pass_cost(counted, images, config.data.prompts, size, config.bio2vol).flops / median(took[-5:])
