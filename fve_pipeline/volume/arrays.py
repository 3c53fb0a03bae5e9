"""A named array of a file that says little of space (npz, HDF5), as a raw volume."""

from __future__ import annotations

from typing import Any

import numpy as np

from fve_pipeline.volume.orientation import flat_affine
from fve_pipeline.volume.refusal import pick_channel, refusal
from fve_pipeline.volume.types import Raw

__all__ = ["describe_array"]


def describe_array(
    name: str,
    member: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    spacing: tuple[float, float, float],
    channel: int | None,
    *,
    strict: bool,
) -> Raw:
    """Return array ``member`` of ``shape`` (y,x), (z,y,x) or (c,z,y,x) as a volume without voxels or place.

    ``spacing`` is (z,y,x) in mm. Where ``strict``, an array of several channels needs one named.

    Raises ReadError for what is no volume of numbers.
    """
    text = "×".join(map(str, shape))
    if dtype.kind not in "iuf" and dtype != np.bool_:
        raise refusal(name, f"array {member!r} holds {dtype}", "integers or floats", "Convert it")
    if len(shape) not in (2, 3, 4) or 0 in shape:
        raise refusal(
            name, f"array {member!r} is {text or 'a single number'}", "a volume (z,y,x)", "Convert it"
        )
    channels = shape[0] if len(shape) == 4 else 1
    pick_channel(name, channels, channel, f"array {member!r} is {text}", strict=strict)
    z, y, x = (1, *shape)[-3:]
    return Raw((z, y, x), dtype, flat_affine(spacing), channels=channels, located=False)
