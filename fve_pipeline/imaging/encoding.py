"""Fractal Volumetric Encoding (section 3.2 of the paper): encode, decode, context_depth.

A pure step: arrays in, arrays out. Which kernel does the work is decided here; they all give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from fve_kernels import geometry
from fve_kernels.geometry import BOUNDARIES, DOWNSAMPLINGS, KernelInputError
from fve_pipeline.errors import FveError
from fve_pipeline.runtime.device import choose_device

__all__ = ["BOUNDARIES", "DOWNSAMPLINGS", "Decoded", "EncodingError", "context_depth", "decode", "encode"]


class EncodingError(FveError, KernelInputError):
    """A volume or an option that cannot be encoded with, or an image that cannot be decoded."""


def context_depth(order: int) -> int:
    """Return how many slices an encoding of this order holds on each side of the focal slice: N(k) = 3k − 2.

    Order 0 has no context (section 3.2 of the paper). Raises EncodingError for what is no order.

    >>> [context_depth(order) for order in range(5)]
    [0, 1, 4, 7, 10]
    """
    try:
        return geometry.context_depth(order)
    except KernelInputError as error:
        raise EncodingError(str(error)) from None


class OnGpu(Protocol):
    """An array that lies on a GPU: a torch tensor, numba's or CuPy's."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...


G = TypeVar("G", bound=OnGpu)


@overload
def encode(
    volume: NDArray[Any],
    order: int = 1,
    boundary: str = "repeat",
    downsample: str = "mean",
    *,
    focal: Sequence[int] | NDArray[Any] | None = None,
    out: NDArray[np.uint8] | None = None,
    layout: str = "hwc",
    parallel: bool = False,
    device: str | None = None,
    stream: Any = None,
) -> NDArray[np.uint8]: ...


@overload
def encode(
    volume: G,
    order: int = 1,
    boundary: str = "repeat",
    downsample: str = "mean",
    *,
    focal: Sequence[int] | NDArray[Any] | None = None,
    out: G | None = None,
    layout: str = "hwc",
    device: str | None = None,
    stream: Any = None,
) -> G: ...


def encode(
    volume: Any,
    order: int = 1,
    boundary: str = "repeat",
    downsample: str = "mean",
    *,
    focal: Sequence[int] | NDArray[Any] | None = None,
    out: Any = None,
    layout: str = "hwc",
    parallel: bool = False,
    device: str | None = None,
    stream: Any = None,
) -> Any:
    """Encode slices of a volume, each with its 3·order − 2 neighbours on both sides, into RGB images.

    Parameters
    ----------
    volume
        (D, H, W) uint8, the sliced axis first. H and W must be divisible by 2^(order − 1). Strided views are
        taken (copied once).
    order
        k of the paper; 0 puts the focal slice in all three channels.
    boundary
        What stands past the volume's end: ``repeat``, the last slice on that side, or the focal slice where
        the side is empty (the paper's rule), or ``mirror``, reflection about the end.
    downsample
        ``mean`` of 2×2 rounded half up at each level, or ``stride``, the top-left voxel, under which each
        encoded value is one voxel of the volume.
    focal
        Slices to encode, in any order, repeats allowed; all of them by default. Slabs give the same images as
        the whole volume as long as they hold ``context_depth(order)`` slices to either side of each focal
        slice, or as many as there are.
    out
        Where to write: C-contiguous uint8 of the result's shape.
    layout
        ``hwc`` gives (n, H, W, 3), ``chw`` gives (n, 3, H, W).
    parallel
        Use all cores (NUMBA_NUM_THREADS limits them). For one caller; workers and loaders leave it off.
    device
        ``cuda`` sends a numpy volume to the GPU and fetches the result. Tensors and arrays on a GPU are
        encoded where they are, without a copy, and must be C-contiguous.
    stream
        Where to queue the work on a GPU: a handle, or numba's; by default torch's current stream for tensors.
        It is not waited for, unless the result is fetched.

    Returns
    -------
    (n, H, W, 3) uint8: channel 0 the focal slice, 1 the encoded slices before it, 2 those after it. A numpy
    array; for a tensor on a GPU, a tensor there; for another array on a GPU, numba's device array.

    Raises
    ------
    EncodingError
        A ValueError that says what was found and what is allowed.
    BuildError
        For ``cuda`` where no GPU can be used.

    Examples
    --------
    >>> volume = np.zeros((5, 32, 32), np.uint8)
    >>> encode(volume, order=2).shape
    (5, 32, 32, 3)
    >>> encode(volume, order=1, focal=[4], layout="chw").shape
    (1, 3, 32, 32)
    """
    if device not in (None, "cpu", "cuda"):
        msg = f"device is {device!r}; expected 'cpu' or 'cuda'"
        raise EncodingError(msg)
    if device == "cuda":
        choose_device(device)
    on_gpu = not isinstance(volume, np.ndarray) and (
        hasattr(volume, "__cuda_array_interface__") or hasattr(volume, "__cuda_ndarray__")
    )
    try:
        if device == "cuda" or on_gpu:
            from fve_kernels import cuda

            return cuda.encode(
                volume, order, boundary, downsample, focal=focal, out=out, layout=layout, stream=stream
            )
        from fve_kernels import cpu
        from fve_kernels.compiling import all_threads

        return cpu.encode(
            np.asarray(volume),
            order,
            boundary,
            downsample,
            focal=focal,
            out=out,
            layout=layout,
            threads=all_threads() if parallel else 1,
        )
    except KernelInputError as error:
        raise EncodingError(str(error)) from None


@dataclass(frozen=True, slots=True)
class Decoded:
    """What an encoded image holds: ``focal`` (H, W), and the context slices on both sides, nearest first.

    The slice at distance d has the resolution of its level: H, W divided by 2^ceil(d / 3), and by no more
    than 2^(order − 1).
    """

    focal: NDArray[np.uint8]
    before: list[NDArray[np.uint8]]
    after: list[NDArray[np.uint8]]


def decode(image: NDArray[np.uint8], order: int = 1) -> Decoded:
    """Take an encoded image (H, W, 3) apart, without loss: views of its pixels, nothing is computed.

    Raises EncodingError for an image of another shape, or one that this order cannot have made.

    >>> image = encode(np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4), order=1)[1]
    >>> found = decode(image, order=1)
    >>> int(found.focal[0, 0]), int(found.before[0][0, 0]), int(found.after[0][0, 0])
    (16, 0, 32)
    """
    depth = context_depth(order)
    block = 1 << max(order - 1, 0)
    if image.ndim != 3 or image.shape[2] != 3 or image.shape[0] % block or image.shape[1] % block:
        msg = f"the image's shape is {image.shape}; expected (H, W, 3) with H and W divisible by {block}"
        raise EncodingError(msg)
    if depth == 0:
        return Decoded(image[..., 0], [], [])
    return Decoded(image[..., 0], _unmix(image[..., 1], order), _unmix(image[..., 2], order))


def _unmix(channel: NDArray[np.uint8], order: int) -> list[NDArray[np.uint8]]:
    slices = []
    for _ in range(order - 1):
        slices += [channel[0::2, 0::2], channel[0::2, 1::2], channel[1::2, 0::2]]
        channel = channel[1::2, 1::2]
    return [*slices, channel]
