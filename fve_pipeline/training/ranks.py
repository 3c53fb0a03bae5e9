"""One process or several: who this one is, and sums over all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from fve_pipeline.errors import TrainError

__all__ = ["Ranks", "in_one_layout", "join_ranks"]


@dataclass(frozen=True)
class Ranks:
    """``rank`` of ``world`` processes, computing on ``device``."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """``values`` summed over all ranks, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def gather(self, item: Any) -> list[Any]:
        """Every rank's ``item``, on every rank, in rank order."""
        if self.world == 1:
            return [item]
        items: list[Any] = [None] * self.world
        dist.all_gather_object(items, item)
        return items


def in_one_layout(model: nn.Module) -> nn.Module:
    """Return ``model``, whose gradients will have the strides that DDP gathers them in, also along axes of length 1.

    Convolutions of channels that lie last leave others there, and torch would warn in each process.
    """

    def laid_out(gradient: Tensor) -> Tensor:
        strides = torch.empty(gradient.shape, device="meta").stride()
        return gradient.contiguous().as_strided(gradient.shape, strides)

    for parameter in model.parameters():
        if parameter.requires_grad and parameter.ndim > 1:
            parameter.register_hook(laid_out)  # type: ignore[no-untyped-call]
    return model


def _device(name: str, local_rank: int, world: int) -> torch.device:
    if name == "auto":
        return torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        msg = f"[run] device = {name!r}: unknown; expected auto, cpu or cuda"
        raise TrainError(msg) from error
    if chosen.type != "cuda":
        return chosen
    if not torch.cuda.is_available():
        msg = f"[run] device = {name!r}: torch finds no GPU here (torch {torch.__version__}); use auto or cpu"
        raise TrainError(msg)
    if chosen.index is not None and world > 1:
        msg = f"[run] device = {name!r}: one GPU for {world} processes; leave the number out, each takes its own"
        raise TrainError(msg)
    return torch.device("cuda", local_rank) if chosen.index is None else chosen


@contextmanager
def join_ranks(device: str = "auto") -> Iterator[Ranks]:
    """The group that torchrun started (its environment says so), else this process alone."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = _device(device, int(os.environ.get("LOCAL_RANK", "0")), world)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world == 1:
        yield Ranks(0, 1, chosen)
        return
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), chosen)
    finally:
        dist.destroy_process_group()
