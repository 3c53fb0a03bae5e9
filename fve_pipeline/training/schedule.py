"""How fast to learn at each step."""

from __future__ import annotations

import math

from fve_pipeline.training.config import TrainConfig

__all__ = ["learning_rate"]


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Of 0-based ``step``: linear warm-up, then half a cosine to zero, or constant."""
    settings = config.optimisation
    if step < settings.warmup_steps:
        return settings.lr * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return settings.lr
    done = (step - settings.warmup_steps) / max(1, steps - settings.warmup_steps)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * done))
