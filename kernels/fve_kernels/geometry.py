"""What every encoding kernel agrees on before a voxel moves: settings, shapes, and which slice goes where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BOUNDARIES",
    "DOWNSAMPLINGS",
    "LAYOUTS",
    "Job",
    "KernelInputError",
    "context_depth",
    "plan",
    "sources",
]

BOUNDARIES = ("repeat", "mirror")
DOWNSAMPLINGS = ("mean", "stride")
LAYOUTS = ("hwc", "chw")

_FEW = 8  # focal slices whose sources are worth remembering


class KernelInputError(ValueError):
    """Input that cannot be encoded; the message says what was found and what is allowed."""


def context_depth(order: int) -> int:
    """Context slices that an encoding of this order holds on each side of the focal slice.

    N(k) = 3k − 2 (section 3.2 of the paper), and 0 for order 0, which has no context.
    """
    if isinstance(order, bool) or not isinstance(order, int | np.integer) or order < 0:
        msg = f"order is {order!r}; expected a whole number: 0 (no context), 1, 2, …"
        raise KernelInputError(msg)
    return 3 * int(order) - 2 if order else 0


def sources(depth: int, order: int, boundary: str, focal: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which slice of a volume stands at each place of the encoding.

    Returns (n, 2, N): for focal slice i, side 0 (before) or 1 (after) and distance d + 1, the index of the
    slice that is encoded there. Order 0 gives N = 1 with the focal slice on both sides.

    Past the volume's end ``repeat`` takes the last slice on that side, or the focal slice where the side is
    empty, and ``mirror`` reflects about the end without repeating it (numpy's pad mode ``reflect``).
    """
    if order == 0:
        return np.ascontiguousarray(np.broadcast_to(focal[:, None, None], (focal.size, 2, 1)))
    distance = np.arange(1, context_depth(order) + 1, dtype=np.int64)
    index = focal[:, None, None] + np.stack([-distance, distance])
    if boundary == "repeat":
        return np.clip(index, 0, depth - 1)
    if depth == 1:
        return np.zeros_like(index)
    period = 2 * (depth - 1)
    index %= period
    return np.minimum(index, period - index)


@dataclass(frozen=True, slots=True)
class Job:
    """A checked request: what to encode, from which slices, into what shape."""

    order: int
    stride: bool
    chw: bool
    depth: int
    height: int
    width: int
    focal: NDArray[np.int64]
    sources: NDArray[np.int64]

    @property
    def out_shape(self) -> tuple[int, int, int, int]:
        if self.chw:
            return (self.focal.size, 3, self.height, self.width)
        return (self.focal.size, self.height, self.width, 3)


def plan(
    volume: Any,
    order: int,
    boundary: str,
    downsample: str,
    focal: Sequence[int] | NDArray[Any] | None,
    layout: str,
    out: Any = None,
) -> Job:
    """Check a request against the volume (D, H, W) and work out where each slice comes from.

    ``volume`` and ``out`` need only ``shape`` and ``dtype``, so device arrays will do. Raises
    KernelInputError for a dtype other than uint8, a rank other than 3, an empty axis, H or W not divisible by
    2^(order − 1), a focal slice outside the volume, an unknown setting, or an ``out`` that does not fit.
    """
    context_depth(order)
    for name, value, known in (
        ("boundary", boundary, BOUNDARIES),
        ("downsample", downsample, DOWNSAMPLINGS),
        ("layout", layout, LAYOUTS),
    ):
        if value not in known:
            msg = f"{name} is {value!r}; expected one of {', '.join(known)}"
            raise KernelInputError(msg)
    if not _is_uint8(volume.dtype):
        msg = f"the volume is {volume.dtype}; only uint8 is encoded (fve_pipeline.imaging.intensity makes it)"
        raise KernelInputError(msg)
    shape = tuple(int(n) for n in volume.shape)
    if len(shape) != 3 or 0 in shape:
        msg = f"the volume's shape is {shape}; expected (D, H, W) with at least one voxel along each axis"
        raise KernelInputError(msg)
    depth, height, width = shape
    block = 1 << max(int(order) - 1, 0)
    if height % block or width % block:
        msg = f"slices of {height}×{width} cannot be encoded at order {order}: not divisible by {block}"
        raise KernelInputError(msg)
    rows = np.arange(depth, dtype=np.int64) if focal is None else _focal(focal, depth)
    if rows.size <= _FEW:
        chains = _few_sources(depth, int(order), boundary, tuple(rows.tolist()))
    else:
        chains = sources(depth, int(order), boundary, rows)
    job = Job(
        order=int(order),
        stride=downsample == "stride",
        chw=layout == "chw",
        depth=depth,
        height=height,
        width=width,
        focal=rows,
        sources=chains,
    )
    if out is not None and (tuple(out.shape) != job.out_shape or not _is_uint8(out.dtype)):
        msg = f"out is {out.dtype} {tuple(out.shape)}; expected uint8 {job.out_shape} for layout {layout!r}"
        raise KernelInputError(msg)
    return job


@lru_cache(maxsize=1 << 12)
def _few_sources(depth: int, order: int, boundary: str, focal: tuple[int, ...]) -> NDArray[np.int64]:
    """As ``sources``. Loaders ask for the same few of small slabs again and again."""
    return sources(depth, order, boundary, np.array(focal, np.int64))


def _is_uint8(dtype: Any) -> bool:
    """Of numpy, or of torch, which is not imported for it. (Naming a numpy dtype takes microseconds.)"""
    return bool(dtype == np.uint8) or str(dtype) == "torch.uint8"


def _focal(focal: Sequence[int] | NDArray[Any], depth: int) -> NDArray[np.int64]:
    rows = np.asarray(focal)
    if rows.size == 0:
        rows = rows.astype(np.int64)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        msg = f"focal is {rows.dtype} of shape {rows.shape}; expected a list of slice numbers"
        raise KernelInputError(msg)
    if rows.size:
        first, last = int(rows.min()), int(rows.max())
        if first < 0 or last >= depth:
            msg = f"focal slices run from {first} to {last}; the volume has slices 0 to {depth - 1}"
            raise KernelInputError(msg)
    return np.ascontiguousarray(rows, dtype=np.int64)
