"""One label file of a case, and which part of it is meant."""

from __future__ import annotations

from dataclasses import dataclass

from fve_pipeline.volume.structures import Structure

__all__ = ["LabelFile"]


@dataclass(frozen=True, slots=True)
class LabelFile:
    """One label file of a case.

    ``path`` is relative to the dataset's root, with forward slashes. ``value`` is None for a label map with
    ids of its own, or the id that the file's non-zero voxels get (one file a class, as TotalSegmentator
    ships). ``values`` gives the ids of a file's values, where it holds some of the classes under numbers of its
    own: (value in the file, id). ``member`` names an array inside an npz or HDF5 file. ``channel`` selects one
    layer of a file of several (4D label maps with a structure a layer). ``slices_of`` is the DICOM folder whose
    slices the pictures in the folder ``path`` are, one PNG each (CHAOS). ``structures`` are
    the classes of an RTSTRUCT or DICOM SEG by what they are called there, and ``threshold`` (0..1) the share of a
    voxel from which on a fractional SEG's segment has it. ``lack`` says why no file could be named.
    """

    path: str
    value: int | None = None
    member: str | None = None
    channel: int | None = None
    slices_of: str | None = None
    values: tuple[tuple[int, int], ...] | None = None
    structures: tuple[Structure, ...] | None = None
    threshold: float | None = None
    lack: str | None = None
