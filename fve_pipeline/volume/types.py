"""What a reader gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DicomPlace", "Header", "Labels", "Raw", "Series", "Volume"]

Affine = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DicomPlace:
    """UIDs of the series that an image is, and of the frame of reference it lies in: to compare, and never to print."""

    series: str = field(repr=False)
    frame: str = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """One 3D image in LPS order.

    ``array`` is (z,y,x), C-contiguous, native byte order: z rises to the head, y to the back, x to the
    patient's left. Integers stay integers (HU as int16); anything else is float32. ``spacing`` is (z,y,x) in
    mm. ``affine`` maps (z,y,x,1) to LPS (x,y,z,1) in mm. ``orientation`` is the order in which the file held
    its axes, fastest first, by the direction each runs in ("RAS": i to the right, j forwards, k to the head),
    or "unknown" where the file doesn't say; then ``located`` is False, the axes are taken as they are, and
    labels are matched by index. ``notes`` are what a user should know about how it was read. ``place`` is a DICOM
    image's.
    """

    array: NDArray[Any]
    spacing: tuple[float, float, float]
    affine: Affine
    modality: str | None = None
    orientation: str = "unknown"
    located: bool = True
    notes: tuple[str, ...] = ()
    place: DicomPlace | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z,y,x)."""
        z, y, x = self.array.shape
        return z, y, x

    @property
    def header(self) -> Header:
        """What remains to be known when the voxels may go: enough for ``read_labels``."""
        return Header(
            shape=self.shape,
            spacing=self.spacing,
            dtype=self.array.dtype,
            nbytes=self.array.nbytes,
            channels=1,
            modality=self.modality,
            affine=self.affine,
            orientation=self.orientation,
            located=self.located,
            place=self.place,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """A label map on its image's grid: ``array`` is (z,y,x) uint16, 0 is background.

    ``resampled`` is True when any of its files lay on another grid and was resampled (nearest). Where overlapping
    labels were asked for, ``sets`` says which values stand for several labels: value → their ids.
    """

    array: NDArray[np.uint16]
    resampled: bool = False
    notes: tuple[str, ...] = ()
    sets: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    def where(self, label: int) -> NDArray[np.bool_]:
        """Return the label's voxels, bool (z,y,x), those that it shares with others included."""
        return np.isin(self.array, [label, *(value for value, ids in self.sets.items() if label in ids)])


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """What a file's header alone says of the volume that reading it would give.

    ``shape`` and ``spacing`` (mm) are (z,y,x) in LPS order and ``affine`` is :class:`Volume`'s. ``dtype`` is
    the widest that the array is expected in, and ``nbytes`` the array's size in it; reading needs about twice
    that where axes must be permuted or integers narrowed, else little more than it. ``channels`` counts the
    volumes in the file, one of which is read.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    dtype: np.dtype[Any]
    nbytes: int
    channels: int
    modality: str | None
    affine: Affine
    orientation: str
    located: bool
    place: DicomPlace | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One image series of a DICOM folder.

    ``key`` names it without naming a patient: eight hexadecimal digits of its UID's sha256. The UID itself is
    accepted too wherever a series is asked for, but never printed.
    """

    key: str
    modality: str
    rows: int
    columns: int
    slices: int
    files: tuple[Path, ...] = field(repr=False)
    uid: str = field(repr=False)


@dataclass(slots=True, eq=False)
class Raw:
    """A volume as its file holds it, before it is turned to LPS. Between the format modules and ``read``.

    ``array`` has three axes in any order, slowest first; ``affine`` maps its indices to LPS mm. The format
    module gives the buffer away: it may be changed in place. For headers ``array`` is None and ``shape`` and
    ``dtype`` speak for it. A label map whose labels overlap says in ``sets`` which values of ``array`` stand for
    several ids (:class:`fve_pipeline.volume.overlay.Overlay` makes both).
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    affine: Affine
    array: NDArray[Any] | None = None
    slope: float = 1.0
    intercept: float = 0.0
    channels: int = 1
    modality: str | None = None
    located: bool = True
    place: DicomPlace | None = None
    notes: list[str] = field(default_factory=list)
    sets: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
