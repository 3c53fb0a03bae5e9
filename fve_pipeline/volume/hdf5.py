"""HDF5: one of the file's datasets, named by its path, (z,y,x) or (c,z,y,x).

Voxel sizes are read from the attribute ``element_size_um``, (z,y,x) in micrometres, which is what microscopy
writes; HDF5 itself knows no geometry. Nothing outside the file is followed, and what was never written is not
taken for the fill value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fve_pipeline.volume.arrays import describe_array
from fve_pipeline.volume.inflate import check_size
from fve_pipeline.volume.refusal import damage_named, refusal
from fve_pipeline.volume.types import Raw

if TYPE_CHECKING:
    import h5py

__all__ = ["list_datasets", "read_hdf5"]

_SIZE = "element_size_um"


def read_hdf5(path: Path, name: str, *, member: str, channel: int | None, voxels: bool) -> Raw:
    """Read one dataset of an HDF5 file, or (``voxels`` False) what its header says."""
    with _opened(path, name) as file:
        data = _find(file, member, name)
        spacing, notes = _spacing(data, name)
        raw = describe_array(name, member, data.shape, data.dtype, spacing, channel, strict=voxels)
        raw.notes.extend(notes)
        _check_written(data, member, name)
        if voxels:
            array = data[channel or 0] if data.ndim == 4 else data[()]
            raw.array = np.asarray(array).reshape(raw.shape)
        return raw


def list_datasets(path: Path, name: str) -> dict[str, tuple[int, ...]]:
    """Paths of the arrays in an HDF5 file with their shapes; those behind links are left out."""
    with _opened(path, name) as file:
        return _datasets(file)


@contextmanager
def _opened(path: Path, name: str) -> Iterator[h5py.File]:
    import h5py

    expected = "a whole file with filters that h5py knows"
    with (
        damage_named(name, "HDF5", expected, (OSError, RuntimeError, KeyError)),
        h5py.File(path, "r", locking=False) as file,
    ):
        yield file


def _datasets(file: h5py.File) -> dict[str, tuple[int, ...]]:
    import h5py

    found = {}

    def note(name: str, thing: Any) -> None:
        if isinstance(thing, h5py.Dataset) and thing.shape:
            found[name] = thing.shape

    file.visititems(note)
    return found


def _find(file: h5py.File, member: str, name: str) -> h5py.Dataset:
    """Return the dataset at a path, no part of which leads elsewhere."""
    import h5py

    at = file
    for part in (one for one in member.split("/") if one):
        link = at.get(part, getlink=True) if isinstance(at, h5py.Group) else None
        if link is None:
            break
        if not isinstance(link, h5py.HardLink):
            where = f"{link.filename}:{link.path}" if isinstance(link, h5py.ExternalLink) else link.path
            expected, advice = "an array of the file itself", "Name the array where it is stored"
            raise refusal(name, f"{member!r} is a link to {where}", expected, advice)
        at = at[part]
    else:
        if isinstance(at, h5py.Dataset):
            return at
    listed = ", ".join(f"{path} {'×'.join(map(str, shape))}" for path, shape in _datasets(file).items())
    found = f"no array {member!r} in the HDF5 file, which holds {listed or 'no array'}"
    advice = "Name one of those as the member (image_member and label_member in a catalog's [layout])"
    raise refusal(name, found, "one of them", advice)


def _spacing(data: h5py.Dataset, name: str) -> tuple[tuple[float, float, float], list[str]]:
    """(z,y,x) in mm."""
    if _SIZE not in data.attrs:
        return (1.0, 1.0, 1.0), [f"no {_SIZE} at the array: 1 mm assumed"]
    values = np.asarray(data.attrs[_SIZE])
    if (
        values.shape != (3,)
        or values.dtype.kind not in "iuf"
        or not (np.isfinite(values) & (values > 0)).all()
    ):
        found = f"{_SIZE} is {values.tolist()}"
        raise refusal(name, found, "three positive numbers in µm, (z,y,x)", "Correct it")
    z, y, x = (float(value) / 1000 for value in values)
    return (z, y, x), []


def _check_written(data: h5py.Dataset, member: str, name: str) -> None:
    """Raise ReadError where the file lacks bytes that the array's header promises."""
    if data.is_virtual or data.external:
        expected, advice = "its voxels in this file", "Save the array whole (h5repack or h5py)"
        raise refusal(name, f"the voxels of {member!r} lie in other files", expected, advice)
    stored = data.id.get_storage_size()
    if data.chunks is None:
        if stored != data.nbytes:
            found = f"array {member!r} has {stored} bytes of its {data.nbytes}, so it was never written"
            raise refusal(name, found, "all of them", "Save it again")
        return
    needed = math.prod(math.ceil(n / size) for n, size in zip(data.shape, data.chunks, strict=True))
    if (written := data.id.get_num_chunks()) != needed:
        found = f"array {member!r} has {written} of its {needed} chunks; the others were never written"
        raise refusal(name, found, "all of them", "Save it again")
    whole = needed * math.prod(data.chunks) * data.dtype.itemsize
    check_size(stored, whole, name, deflated=data.id.get_create_plist().get_nfilters() > 0)
