"""Voxels of any type to uint8, by named rules: HU windows, percentile clipping, or untouched.

Pure steps over arrays. Rule ``window`` rescales by the bounds and rounds half up. Rule ``medsam`` does what
MedSAM's preprocessing script does, which the paper says it follows: rescale by the clipped volume's own
minimum and maximum, and truncate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import IntensityError
from fve_pipeline.imaging.windows import WINDOWS, Window, parse_window

__all__ = [
    "FEW_BELOW_ZERO",
    "LOST",
    "PERCENTILES",
    "RULES",
    "Conversion",
    "Decision",
    "lost_below_zero",
    "percentiles",
    "plan_uint8",
    "share_below_zero",
    "to_uint8",
]

RULES = ("window", "medsam")
PERCENTILES = (0.5, 99.5)
#: Interpolation leaves as many voxels below zero in the air around a body; more of them show the body itself.
FEW_BELOW_ZERO = 0.01
_ABOVE_ZERO = "the voxels above 0"
#: How :func:`lost_below_zero` says it, for those who look for it in a case's notes.
LOST = "of its voxels other than 0 lie below 0 and became black"


@dataclass(frozen=True, slots=True)
class Decision:
    """What was done to the voxels: ``lower`` and ``upper`` are the values that became 0 and 255."""

    rule: str
    lower: float
    upper: float
    text: str

    def __str__(self) -> str:
        return self.text


def percentiles(
    array: NDArray[Any], q: Sequence[float], *, over: str = "all", parallel: bool = False
) -> tuple[float, ...]:
    """Exact percentiles (0..100) of all voxels, or of the ``positive`` ones; NaN where there are none.

    Raises IntensityError where voxels are NaN or infinite.
    """
    from fve_kernels.cpu_percentiles import percentiles as compute
    from fve_kernels.geometry import KernelInputError

    try:
        found = compute(_as_stored(array), q, positive=over == "positive", threads=_threads(parallel))
    except KernelInputError as error:
        raise IntensityError(str(error)) from None
    return tuple(float(value) for value in found)


def _as_stored(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array with its axes as they lie in memory, where that makes it contiguous: for what needs no order."""
    forwards = array[tuple(slice(None, None, -1 if stride < 0 else 1) for stride in array.strides)]
    return forwards.transpose(sorted(range(array.ndim), key=lambda axis: -forwards.strides[axis]))


def share_below_zero(array: NDArray[Any]) -> float:
    """Return the share (0..1) of the voxels other than zero that lie below it: ``positive`` percentiles lose them.

    >>> share_below_zero(np.array([-1.0, 0.0, 0.0, 2.0]))
    0.5
    """
    return int(np.count_nonzero(array < 0)) / (int(np.count_nonzero(array)) or 1)


def lost_below_zero(array: NDArray[Any], decision: Decision) -> str:
    """Return a warning with the share of an image that became black, where percentiles of its positive voxels lost it."""
    if _ABOVE_ZERO not in decision.text or (share := share_below_zero(array)) <= FEW_BELOW_ZERO:
        return ""
    return f'{share:.0%} {LOST}; say percentiles_over = "all" in the catalog'


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a volume becomes uint8, settled: call it on the volume or on any part of it.

    ``bounds`` are (lower, upper, low, high): values are clipped to the first two, and the last two become 0 and 255.
    """

    decision: Decision
    bounds: tuple[float, float, float, float] | None = None
    truncate: bool = False
    parallel: bool = False
    device: str = "cpu"

    def __call__(self, array: NDArray[Any], out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return the array as uint8, in ``out`` where it is given, else maybe itself."""
        if self.bounds is None:
            if out is None:
                return array
            np.copyto(out, array)
            return out
        if self.device == "cuda":
            from fve_kernels import cuda_rescale

            result: NDArray[np.uint8] = cuda_rescale.rescale(
                array, *self.bounds, truncate=self.truncate, out=out
            )
            return result
        from fve_kernels import cpu_rescale

        threads = _threads(self.parallel)
        return cpu_rescale.rescale(array, *self.bounds, truncate=self.truncate, out=out, threads=threads)


def to_uint8(
    array: NDArray[Any],
    *,
    modality: str,
    rule: str = "window",
    window: Window | str | None = None,
    percentiles_over: str = "positive",
    scaled: bool = False,
    out: NDArray[np.uint8] | None = None,
    parallel: bool = False,
    device: str = "cpu",
) -> tuple[NDArray[np.uint8], Decision]:
    """Turn a volume (any shape; HU for CT) into uint8 and say what was decided.

    In this order: uint8 data is left as it is, and so is what ``scaled`` declares to be 0..255 already (never
    guessed from the values: an int16 MR may peak at 180). A ``window`` is applied to any modality. CT without
    one is an error. Everything else is clipped between the 0.5th and 99.5th percentile of the voxels above
    zero, which leaves zeros at 0, or of ``all`` voxels.

    Readers refuse NaN and infinite voxels; should one get here, percentiles raise, and a window turns NaN and
    −∞ into 0 and +∞ into 255. The result is ``array`` itself where nothing had to be done and no ``out``
    (C-contiguous uint8 of the same shape) was given. With ``device`` "cuda" the rescaling is done on a GPU,
    to the same bytes.

    Raises IntensityError, with what to do about it.
    """
    convert = plan_uint8(
        array,
        modality=modality,
        rule=rule,
        window=window,
        percentiles_over=percentiles_over,
        scaled=scaled,
        parallel=parallel,
        device=device,
    )
    return convert(array, out), convert.decision


def plan_uint8(
    array: NDArray[Any],
    *,
    modality: str,
    rule: str = "window",
    window: Window | str | None = None,
    percentiles_over: str = "positive",
    scaled: bool = False,
    parallel: bool = False,
    device: str = "cpu",
) -> Conversion:
    """Decide how :func:`to_uint8` turns a volume into uint8, so that it can be done slab by slab."""
    if rule not in RULES:
        msg = f"rule is {rule!r}; expected one of {', '.join(RULES)}"
        raise IntensityError(msg)
    if percentiles_over not in ("positive", "all"):
        msg = f"percentiles_over is {percentiles_over!r}; expected 'positive' or 'all'"
        raise IntensityError(msg)
    if array.dtype == np.uint8:
        return Conversion(Decision("untouched", 0, 255, "untouched: the data is uint8"))
    how = partial(Conversion, truncate=rule == "medsam", parallel=parallel, device=device)
    if scaled:
        return Conversion(_declared(array), (0, 255, 0, 255), parallel=parallel, device=device)
    if window is not None:
        chosen = parse_window(window) if isinstance(window, str) else window
        lower, upper, text = chosen.lower, chosen.upper, f"window {chosen}"
    elif modality.upper() == "CT":
        msg = (
            "CT needs a window, and none was given: name one of "
            f"{', '.join(WINDOWS)}, or width/level such as 400/40, in the catalog; or declare the data scaled"
        )
        raise IntensityError(msg)
    else:
        lower, upper, text = _percentile_bounds(array, rule, percentiles_over, parallel)
    return _rescaling(array, rule, lower, upper, text, how)


def _declared(array: NDArray[Any]) -> Decision:
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):
        msg = (
            f"the image is declared as scaled to 0..255, but its voxels run from {low:g} to {high:g}; "
            "remove that declaration, or check which file this is"
        )
        raise IntensityError(msg)
    return Decision(
        "untouched", 0, 255, f"untouched: declared as scaled ({array.dtype}, {low:g} to {high:g})"
    )


def _percentile_bounds(array: NDArray[Any], rule: str, over: str, parallel: bool) -> tuple[float, float, str]:
    if rule == "medsam" and over == "all":
        msg = "rule medsam takes percentiles over voxels above zero; percentiles over all go with rule window"
        raise IntensityError(msg)
    lower, upper = percentiles(array, PERCENTILES, over=over, parallel=parallel)
    text = f"percentiles {PERCENTILES[0]:g} and {PERCENTILES[1]:g} of "
    text += _ABOVE_ZERO if over == "positive" else "all voxels"
    if np.isnan(lower):
        lower, upper = percentiles(array, PERCENTILES, parallel=parallel)
        text = text.replace(_ABOVE_ZERO, "all voxels (none is above 0)")
    if lower == upper and rule == "window":
        text = f"full range ({text} coincide at {lower:g})"
        lower, upper = float(array.min()), float(array.max())
    return lower, upper, text


def _rescaling(
    array: NDArray[Any], rule: str, lower: float, upper: float, text: str, how: Callable[..., Conversion]
) -> Conversion:
    low, high = lower, upper
    if rule == "medsam":
        low, high = (float(np.clip(value, lower, upper)) for value in (array.min(), array.max()))
        text += f" {lower:g} to {upper:g}, by the clipped volume's own range"
    text += f": {low:g} to {high:g} becomes 0 to 255, {'truncated' if rule == 'medsam' else 'rounded'}"
    if low == high:
        # Everything is clipped to one value, which becomes 0.
        settled = Decision(rule, low, high, f"{text}; constant, so all 0")
        return how(settled, (lower, upper, low, low + max(1, abs(low))), truncate=False)
    return how(Decision(rule, low, high, text), (lower, upper, low, high))


def _threads(parallel: bool) -> int:
    from fve_kernels.compiling import all_threads

    return all_threads() if parallel else 1
