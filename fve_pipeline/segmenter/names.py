"""From the names in a weights file to the model's own: wrappers' prefixes off, earlier spellings read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fve_pipeline.errors import CheckpointError

__all__ = ["own_names"]

# Put before every name by data parallelism, Lightning and torch.compile, in the order in which they were applied.
_PREFIXES = ("module.", "model.", "_orig_mod.")

# Weights of the loss function that the released file carries along.
_LOSS_KEYS = ("loss_function.loss_fn.dice_loss.class_weight", "loss_function.cls_loss_fn.pos_weight")

# The text encoder's names before the released model renamed them.
_RENAMED = {
    "predictor.lang_encoder.lang_encoder.": "predictor.language_encoder.encoder_transformer.",
    "predictor.lang_encoder.": "predictor.language_encoder.",
}


def own_names(state: Mapping[str, Any], path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors under the model's names, and the loss function's names, which are dropped.

    Raises
    ------
    CheckpointError
        If there is no tensor, or two names become one.
    """
    tensors = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    if not tensors:
        msg = f"{path}: holds no tensors by name (found: {', '.join(map(str, list(state)[:6])) or 'nothing'})"
        raise CheckpointError(msg)
    while (prefix := _shared_prefix(tensors)) is not None:
        tensors = {k.removeprefix(prefix): v for k, v in tensors.items()}
    dropped = tuple(k for k in tensors if k.endswith(_LOSS_KEYS))
    named = [(_renamed(k), v) for k, v in tensors.items() if k not in dropped]
    if len(twice := dict(named)) < len(named):
        msg = f"{path}: holds the text encoder under two spellings of its names; keep one of them"
        raise CheckpointError(msg)
    return twice, dropped


def _shared_prefix(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the wrapper's prefix that all names begin with; the loss function's may lack it."""
    names = [name for name in tensors if not name.startswith("loss_function.")]
    return next((p for p in _PREFIXES if names and all(name.startswith(p) for name in names)), None)


def _renamed(name: str) -> str:
    for old, new in _RENAMED.items():
        if old in name:
            return name.replace(old, new)
    return name
