"""The settings of the adaptation, and what a training run takes from the paper with it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["PAPER", "Bio2VolSettings"]

Positive = Annotated[int, Field(ge=1)]


class Bio2VolSettings(BaseModel):
    """Sub-volumes of ``depth`` slices, read at two rates, by attention of which ``heads`` heads cross slices.

    The defaults are the paper's (section 3). Each part has its switch: ``sparse_rate`` 0 leaves the sparse
    path out (no dual-rate sampling), ``heads`` 0 the cross-slice heads, ``alignment`` 0 (the loss's weight λ)
    the semantic alignment. ``offset`` is Δt, counted in slices of a path. ``stride``: slices between
    sub-volumes when predicting; None is half of ``depth``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    depth: Positive = 7
    dense_rate: Positive = 1
    sparse_rate: Annotated[int, Field(ge=0)] = 2
    heads: Annotated[int, Field(ge=0)] = 1
    offset: int = 2
    alignment: Annotated[float, Field(ge=0)] = 1.0
    stride: Positive | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Bio2VolSettings:
        if self.offset == 0:
            msg = "offset is 0, which reads the slice itself; expected another number"
            raise ValueError(msg)
        if self.sparse_rate and self.sparse_rate <= self.dense_rate:
            msg = f"sparse_rate is {self.sparse_rate}; expected 0 (none) or more than dense_rate ({self.dense_rate})"
            raise ValueError(msg)
        if self.stride is not None and self.stride > (1 if self.dense_rate > 1 else self.depth):
            msg = (
                f"stride is {self.stride} with depth {self.depth}, dense_rate {self.dense_rate}: some slices would "
                "get no prediction; expected at most depth, and 1 where dense_rate is above 1"
            )
            raise ValueError(msg)
        return self

    @property
    def step(self) -> int:
        """Slices from one sub-volume to the next when predicting."""
        if self.stride is not None:
            return self.stride
        return max(1, self.depth // 2) if self.dense_rate == 1 else 1


# What the paper trains with, under what a configuration says itself: Adam (AdamW without decay) at a constant
# rate, the backbone frozen, plain slices.
PAPER: dict[str, dict[str, Any]] = {
    "model": {"frozen": ("backbone",)},
    "optimisation": {
        "batch": 5,
        "epochs": 20,
        "clip": 0.0,
        "lr": 1e-5,
        "weight_decay": 0.0,
        "schedule": "constant",
    },
    "data": {"order": 0, "augment": "none"},
}
