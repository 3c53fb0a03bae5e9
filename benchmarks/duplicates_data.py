"""Volumes, their disguises, and what is no disguise: other subjects and followed-up scans of the same one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from fve_pipeline.demo.cohort.head import head
from fve_pipeline.demo.cohort.pelvis import pelvis
from fve_pipeline.demo.cohort.torso import torso
from fve_pipeline.imaging.intensity import plan_uint8
from fve_pipeline.volume import read_image

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL = [
    *((f"ct_totalseg/{name}.nii.gz", kind) for name, kind in (("example_ct", "CT"), ("example_mr_sm", "MR"))),
    ("ct_dicom_series", "CT"),
    ("mr_pyradiomics/brain1_image.nrrd", "MR"),
    ("mr_pyradiomics/prostate_phantom_subvolume.nrrd", "MR"),
    ("micro_nuclei/img3d.tif", "microscopy"),
    ("micro_cells/rgb_3D_0.tiff", "microscopy"),
    ("nifti_orientations/RAS.nii.gz", "MR"),
    *(
        (f"us_mr_prostate/{part}/{what}_images/case0000{number}.nii.gz", kind)
        for part, numbers in (("train", ("00", "01", "02", "03", "04")), ("test", ("25", "26")))
        for what, kind in (("fixed", "ultrasound"), ("moving", "MR"))
        for number in numbers
    ),
]


@dataclass(frozen=True)
class Scan:
    """A volume (z,y,x) with its spacing in mm, and who it is of; ``window`` in HU for CT."""

    subject: str
    kind: str
    array: NDArray[Any]
    spacing: tuple[float, float, float]
    window: tuple[float, float] = (-160.0, 240.0)

    def shown(self) -> NDArray[np.uint8]:
        """The scan as a build prepares it."""
        if self.array.dtype == np.uint8:
            return self.array
        if self.kind == "CT":
            low, high = self.window
            return np.clip((self.array - low) / (high - low) * 255 + 0.5, 0, 255).astype(np.uint8)
        convert = plan_uint8(self.array, modality=self.kind, rule="window", window=None)
        return convert(self.array)


def real() -> Iterator[Scan]:
    """Real scans, as far as they are beside the project."""
    for name, kind in REAL:
        if (DATA / name).exists():
            volume = read_image(DATA / name)
            yield Scan(name, kind, np.asarray(volume.array), volume.spacing)


def made(subjects: int) -> Iterator[Scan]:
    """Made subjects of three kinds, each kind of one anatomy that varies as the demo's does."""
    for seed in range(subjects):
        yield Scan(f"torso {seed}", "CT", torso((72, 160, 160), seed)[0], (4.0, 2.4, 2.4))
        yield Scan(f"head {seed}", "MR", head((48, 128, 128), seed)[0], (3.0, 1.8, 1.8))
        yield Scan(f"pelvis {seed}", "ultrasound", pelvis((48, 96, 96), seed)[0], (0.8, 0.6, 0.6))


def disguised(scan: Scan, rng: np.random.Generator) -> Iterator[tuple[str, Scan]]:
    """The scan in a dozen disguises, as data sets publish it."""
    depth = len(scan.array)
    low = int(rng.integers(0, depth // 3 + 1))
    high = depth - int(rng.integers(0, depth // 4 + 1))
    z, y, x = scan.spacing

    def changed(array: NDArray[Any], spacing: tuple[float, float, float] | None = None) -> Scan:
        return replace(scan, array=array, spacing=spacing or scan.spacing)

    yield "crop in z", changed(scan.array[low:high])
    yield "other spacing", _resampled(scan, (z, y * 1.4, x * 1.4))
    yield "resampled slices", _resampled(scan, (z * rng.uniform(1.2, 1.6), y, x))
    yield "flip x", changed(scan.array[:, :, ::-1])
    yield "flip z and y", changed(scan.array[::-1, ::-1])
    yield "window", _windowed(scan, rng)
    yield "8-bit rounding", changed(_rounded(scan))
    yield (
        "every second slice",
        changed(scan.array[::2], (2 * z, y, x)) if depth >= 16 else changed(scan.array[1:]),
    )
    kept = np.sort(rng.choice(depth, max(1, round(depth * 0.93)), replace=False))
    yield "slices removed", changed(scan.array[kept])
    yield "other format", _through_a_file(scan)
    yield (
        "rescaled",
        changed(scan.array.astype(np.float32) * 0.37 + 11) if scan.kind != "CT" else _rescaled_ct(scan),
    )
    loud = 12.0 if scan.kind == "CT" else 0.02 * float(np.ptp(np.percentile(scan.array, (1, 99))))
    noise = rng.normal(0, loud, scan.array.shape)
    yield (
        "noise",
        changed(scan.array + noise)
        if scan.array.dtype != np.uint8
        else changed(np.clip(scan.array + noise, 0, 255).astype(np.uint8)),
    )
    yield (
        "crop, flip, window",
        replace(_windowed(scan, rng), array=_windowed(scan, rng).array[low:high, :, ::-1]),
    )


def followed_up(scan: Scan, rng: np.random.Generator) -> Scan:
    """The same subject on another day: lying otherwise by a few millimetres and degrees, breathing, new noise."""
    field = float(np.sqrt(np.prod(scan.array.shape[1:]) * scan.spacing[1] * scan.spacing[2]))
    return _bent(scan, rng, shift=0.015 * field, degrees=2.0, bend=0.01 * field)


def bent(scan: Scan, rng: np.random.Generator, subject: str) -> Scan:
    """Another subject of the same kind: every organ lies elsewhere by some percent of the field of view."""
    field = float(np.sqrt(np.prod(scan.array.shape[1:]) * scan.spacing[1] * scan.spacing[2]))
    return replace(_bent(scan, rng, shift=0.02 * field, degrees=4.0, bend=0.03 * field), subject=subject)


def _bent(scan: Scan, rng: np.random.Generator, *, shift: float, degrees: float, bend: float) -> Scan:
    shape, spacing = scan.array.shape, np.array(scan.spacing)
    at = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij"))
    mm = at * spacing[:, None, None, None]
    middle = (np.array(shape) * spacing / 2)[:, None, None, None]
    turn = np.deg2rad(rng.uniform(0.5, 1) * degrees * rng.choice([-1, 1]))
    _, y, x = mm - middle
    moved = mm.copy()
    moved[1] = middle[1] + np.cos(turn) * y - np.sin(turn) * x
    moved[2] = middle[2] + np.sin(turn) * y + np.cos(turn) * x
    direction = rng.normal(size=3)
    moved += (direction / np.linalg.norm(direction) * shift)[:, None, None, None]
    for axis in range(3):
        knots = rng.normal(size=(5, 5, 5))
        field = ndimage.zoom(knots, np.array(shape) / 5, order=3, grid_mode=True, mode="nearest")
        moved[axis] += bend * field / field.std()
    image = ndimage.map_coordinates(
        scan.array.astype(np.float32), moved / spacing[:, None, None, None], order=1, mode="nearest"
    )
    image += rng.normal(0, 0.01 * float(np.ptp(np.percentile(scan.array, (1, 99)))), shape)
    if scan.array.dtype == np.uint8:
        image = np.clip(np.rint(image), 0, 255)
    return replace(scan, array=image.astype(scan.array.dtype))


def _resampled(scan: Scan, spacing: tuple[float, float, float]) -> Scan:
    image = sitk.GetImageFromArray(scan.array.astype(np.float32))
    image.SetSpacing(scan.spacing[::-1])
    old, new = np.array(scan.spacing[::-1]), np.array(spacing[::-1])
    size = [max(1, round(n * a / b)) for n, a, b in zip(image.GetSize(), old, new, strict=True)]
    origin = ((new - old) / 2).tolist()
    found = sitk.Resample(
        image, size, sitk.Transform(), sitk.sitkLinear, origin, new.tolist(), image.GetDirection()
    )
    array = sitk.GetArrayFromImage(found)
    if scan.array.dtype == np.uint8:
        array = np.clip(np.rint(array), 0, 255).astype(np.uint8)
    return replace(scan, array=array, spacing=spacing)


def _windowed(scan: Scan, rng: np.random.Generator) -> Scan:
    if scan.kind == "CT":
        windows = ((-1000.0, 400.0), (-450.0, 1050.0), (-125.0, 275.0), (-1024.0, 1024.0))
        return replace(scan, window=windows[int(rng.integers(len(windows)))])
    low, high = np.percentile(scan.array, (float(rng.uniform(1, 3)), float(rng.uniform(96, 99))))
    return replace(scan, array=np.clip(scan.array, low, high))


def _rounded(scan: Scan) -> NDArray[np.uint8]:
    low, high = np.percentile(scan.array, (0.5, 99.5))
    return np.clip((scan.array - low) / max(high - low, 1e-6) * 255 + 0.5, 0, 255).astype(np.uint8)


def _rescaled_ct(scan: Scan) -> Scan:
    """Values from 0 on, as unsigned files have them."""
    low, high = scan.window
    return replace(scan, array=(scan.array + 1024.0) / 4, window=((low + 1024) / 4, (high + 1024) / 4))


def _through_a_file(scan: Scan) -> Scan:
    """Written as float NRRD, in another orientation, and read again."""
    image = sitk.GetImageFromArray(scan.array.astype(np.float32))
    image.SetSpacing(scan.spacing[::-1])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.nrrd"
        sitk.WriteImage(sitk.DICOMOrient(image, "RAS"), str(path))
        volume = read_image(path)
        array = np.ascontiguousarray(volume.array)
    return replace(scan, array=array.astype(scan.array.dtype), spacing=volume.spacing)
