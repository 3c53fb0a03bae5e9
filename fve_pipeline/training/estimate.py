"""What a run would take, before it is started: parameters, memory, steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fve_pipeline.bio2vol.network import PathLayout, Volumes
from fve_pipeline.bio2vol.sampling import sub_volume
from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.segmenter.checkpoint import read_checkpoint
from fve_pipeline.segmenter.losses import segmentation_losses
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.segmenter.randomness import CounterRandomness
from fve_pipeline.segmenter.tokens import Tokens
from fve_pipeline.training.config import TrainConfig
from fve_pipeline.training.setup import check_batch, part_of

__all__ = ["Estimate", "activation_bytes", "estimate"]

# Tokens of a longish prompt, for the estimate.
_WORDS = 24


@dataclass(frozen=True)
class Estimate:
    """Parameters by part as (all, trained); bytes a process; steps."""

    parts: dict[str, tuple[int, int]]
    samples: int
    steps_per_epoch: int
    steps: int
    weights: int
    gradients: int
    optimiser: int
    activations: int

    @property
    def memory(self) -> int:
        """Bytes a process needs at its peak, about."""
        return self.weights + self.gradients + self.optimiser + self.activations


def activation_bytes(
    model: Segmenter, images: int, prompts: int, size: int, bio2vol: Bio2VolSettings | None = None
) -> int:
    """Bytes that a forward pass keeps for going back, in float32, parameters left out.

    With ``bio2vol``, ``images`` counts sub-volumes.

    Counted on the meta device, where nothing is computed: what autograd saves is weighed by its storage.
    """
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    seen: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            seen[storage._cdata] = tensor  # held, so that no later storage takes its place
        return tensor

    rows = images * prompts
    tokens = Tokens(
        torch.zeros(rows, _WORDS, dtype=torch.int64, device="meta"),
        torch.full((rows,), _WORDS, dtype=torch.int64, device="meta"),
    )
    layout, slices, read = None, images, images
    if bio2vol is not None:
        cut = sub_volume(0, range(bio2vol.depth), bio2vol)
        layout = PathLayout.of([cut.places] * images, bio2vol)
        slices, read = len(layout.owner), len(layout.image)
    draws = CounterRandomness(
        torch.zeros(slices, dtype=torch.int64, device="meta"),
        torch.zeros(read, prompts, dtype=torch.int64, device="meta"),
    )
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        pixels = torch.zeros(slices, 3, size, size, device="meta")
        if bio2vol is not None and layout is not None:
            prediction = Volumes(model, bio2vol)(pixels, layout, tokens, draws)
        else:
            prediction = model(pixels, tokens, draws)
        labels = torch.zeros(slices, prompts, size, size, dtype=torch.int64, device="meta")
        losses = segmentation_losses(prediction, labels)
    del losses
    return sum(tensor.untyped_storage().nbytes() for tensor in seen.values())


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
    auto = (
        config.run.precision == "auto" and config.run.device in ("auto", "cuda") and torch.cuda.is_available()
    )
    width = 0.6 if auto or config.run.precision == "bf16" else 1.0
    return Estimate(
        parts=parts,
        samples=samples,
        steps_per_epoch=per_epoch,
        steps=per_epoch * config.optimisation.epochs,
        weights=4 * every,
        gradients=4 * trained,
        optimiser=8 * trained,
        activations=int(width * activation_bytes(model, micro, config.data.prompts, size, config.bio2vol)),
    )
