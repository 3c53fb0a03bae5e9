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
    pixels that the model draws (the released evaluator's value; its notebook uses 1). What lies wholly under the
    edge is lost then, the trade-off that the paper names.

    None grows back to the full mask: each voxel joins the nearest part of its own 6-connected piece of the mask,
    and a piece that lies wholly under the edge is an instance of its own.
    """
    seeds: NDArray[np.uint32] = cc3d.connected_components(mask & ~edges, connectivity=6, out_dtype=np.uint32)
    if grow is None:
        return _whole(mask, seeds)
    box = ndimage.find_objects(mask.astype(np.uint8))
    if not box or not seeds.any():
        return seeds
    inside = box[0]
    part = seeds[inside]
    distance, nearest = ndimage.distance_transform_edt(part == 0, return_indices=True)
    result = np.zeros_like(seeds)
    result[inside] = np.where(mask[inside] & (distance <= grow), part[tuple(nearest)], 0)
    return result


def _whole(mask: NDArray[np.bool_], seeds: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Every piece of the mask shared by the seeds in it; one without a seed gets the next number."""
    pieces = cc3d.connected_components(mask, connectivity=6, out_dtype=np.uint32)
    result = np.zeros_like(seeds)
    count = int(seeds.max(initial=0))
    for number, box in enumerate(ndimage.find_objects(pieces), start=1):
        own = pieces[box] == number
        part = np.where(own, seeds[box], 0)
        first = int(part.max())
        if not first:
            count += 1
            first = count
        if not (part[part > 0] != first).any():
            result[box][own] = first
            continue
        nearest = ndimage.distance_transform_edt(part == 0, return_distances=False, return_indices=True)
        result[box][own] = part[tuple(nearest)][own]
    return result
