"""Activation checkpointing as a switch on a module."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

__all__ = ["Recomputing"]


class Recomputing(nn.Module):
    """A module whose parts are run through :meth:`run`, which trades memory for compute when switched on."""

    recompute: bool = False

    def run(self, part: Any, *args: Any) -> Any:
        """``part(*args)``; with ``recompute`` its activations are dropped and computed again going back.

        No generator state is kept: all randomness here is a function of keys, so the second pass agrees.
        """
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(part, *args, use_reentrant=False, preserve_rng_state=False)
        return part(*args)
