"""Splitting a binary mask into instances along predicted edges (paper section 3.5)."""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["split_instances"]


def split_instances(
    mask: NDArray[np.bool_], edges: NDArray[np.bool_], grow: float | None = 2.0
) -> NDArray[np.uint32]:
    """Instances (D,H,W) of ``mask`` (D,H,W): its 6-connected parts once ``edges`` are taken out, grown back.

    Each voxel of the mask within ``grow`` voxels of a part joins the nearest one; 2 undoes the edge of two
    pixels that the model draws (the released evaluator's value; its notebook uses 1). None grows without
    limit, so that each voxel of the mask that is connected to a part belongs to an instance. A part that
    lies wholly under the edge is lost, the trade-off that the paper names.
    """
    seeds: NDArray[np.uint32] = cc3d.connected_components(mask & ~edges, connectivity=6, out_dtype=np.uint32)
    box = ndimage.find_objects(mask.astype(np.uint8))
    if not box or not seeds.any():
        return seeds
    inside = box[0]
    part = seeds[inside]
    distance, nearest = ndimage.distance_transform_edt(part == 0, return_indices=True)
    reach = np.inf if grow is None else grow
    grown = np.where(mask[inside] & (distance <= reach), part[tuple(nearest)], 0)
    result = np.zeros_like(seeds)
    result[inside] = grown
    return result
