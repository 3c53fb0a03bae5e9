"""Which arrays an npz or HDF5 file holds."""

from __future__ import annotations

from pathlib import Path

from fve_pipeline.volume.hdf5 import list_datasets
from fve_pipeline.volume.kinds import kind_of, shown
from fve_pipeline.volume.npz import list_arrays

__all__ = ["list_members"]


def list_members(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the numeric arrays in a file by their names; none for a file that holds one volume.

    Raises ReadError for a file that cannot be opened.
    """
    kind = kind_of(path, shown(path))
    if kind == "npz":
        return list_arrays(path, shown(path))
    return list_datasets(path, shown(path)) if kind == "hdf5" else {}
