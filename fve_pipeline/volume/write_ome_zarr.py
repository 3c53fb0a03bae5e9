"""A volume and its labels as OME-Zarr 0.5, with as much of their place as that format can say."""

from __future__ import annotations

from collections.abc import Mapping
from colorsys import hsv_to_rgb
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["is_straight", "write_ome_zarr"]

_CHUNK = (16, 256, 256)
# Which way axes of an LPS volume run, as the format's extension for anatomy words it.
_RUNS = {"z": "inferior-to-superior", "y": "anterior-to-posterior", "x": "right-to-left"}


def is_straight(affine: NDArray[np.float64]) -> bool:
    """Whether a volume (z,y,x) in LPS lies along the axes of the world, which is all that the format can say."""
    steps = np.abs(affine[:3, [2, 1, 0]])
    return bool((steps - np.diag(np.diag(steps)) < 1e-4 * steps.max()).all())


def write_ome_zarr(
    out: Path,
    image: NDArray[Any],
    labels: NDArray[Any],
    affine: NDArray[np.float64],
    classes: Mapping[int, str],
) -> None:
    """Write the group ``out`` of ``image`` (z,y,x) in LPS, and in it ``labels/classes`` of its ``labels``.

    ``affine`` maps (z,y,x,1) to LPS mm. Voxel sizes in mm always; origin and anatomical directions where the volume
    lies straight. The whole affine is under ``fve`` in the group's attributes. ``classes`` are names by label.
    """
    import zarr

    place = [_multiscale(out.name.removesuffix(".ome.zarr"), affine)]
    group = zarr.open_group(out, mode="w-", zarr_format=3)
    _array(group, image)
    inner = group.create_group("labels").create_group("classes")
    _array(inner, labels)
    named = [{"label-value": label, "name": name} for label, name in sorted(classes.items())]
    colours = [{"label-value": label, "rgba": _colour(n)} for n, label in enumerate(sorted(classes))]
    shown: Any = {"colors": colours, "properties": named, "source": {"image": "../../"}}
    inner.attrs["ome"] = {"version": "0.5", "multiscales": place, "image-label": shown}
    group["labels"].attrs["ome"] = {"version": "0.5", "labels": ["classes"]}
    group.attrs["fve"] = {"affine_lps_zyx": affine.tolist()}
    group.attrs["ome"] = {"version": "0.5", "multiscales": place}


def _colour(number: int) -> list[int]:
    """Return red, green, blue and opacity, far from those of neighbouring numbers."""
    return [*(round(255 * part) for part in hsv_to_rgb(number * 0.618 % 1, 0.75, 0.95)), 255]


def _array(group: Any, values: NDArray[Any]) -> None:
    chunks = tuple(min(size, most) for size, most in zip(values.shape, _CHUNK, strict=True))
    group.create_array("0", data=values, chunks=chunks, dimension_names=("z", "y", "x"))


def _multiscale(name: str, affine: NDArray[np.float64]) -> dict[str, Any]:
    axes: list[dict[str, Any]] = [{"name": n, "type": "space", "unit": "millimeter"} for n in "zyx"]
    scale = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    steps: list[dict[str, Any]] = [{"type": "scale", "scale": scale.tolist()}]
    if is_straight(affine):
        steps.append({"type": "translation", "translation": affine[[2, 1, 0], 3].tolist()})
        for axis in axes:
            axis["orientation"] = {"type": "anatomical", "value": _RUNS[axis["name"]]}
    return {
        "name": name,
        "axes": axes,
        "datasets": [{"path": "0", "coordinateTransformations": steps}],
    }
