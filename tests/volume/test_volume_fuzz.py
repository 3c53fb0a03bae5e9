"""Damaged files of every kind end in a ReadError that names no patient, never in anything else."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from volume_make import ramp, slice_dataset, write_enhanced, write_nifti, write_seg

from fve_pipeline.errors import ReadError
from fve_pipeline.volume import read_header, read_image, read_labels
from fve_pipeline.volume.label_file import LabelFile

ZYX = ramp((4, 16, 20))


def itk(path: Path, compress: bool) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(ZYX), str(path), useCompression=compress)


def tiff(path: Path, **options: object) -> None:
    tifffile.imwrite(path, ZYX.astype(np.uint16), photometric="minisblack", **options)


def seg(path: Path) -> None:
    write_seg(path, [(1, plane % 2, (0.0, 0.0, float(z))) for z, plane in enumerate(ZYX)], [1])


MAKERS: dict[str, Callable[[Path], object]] = {
    "plain.nii": lambda p: write_nifti(p, ZYX),
    "zipped.nii.gz": lambda p: write_nifti(p, ZYX),
    "two.nii": lambda p: write_nifti(p, ZYX, version=2),
    "zipped.nrrd": lambda p: itk(p, True),
    "raw.nrrd": lambda p: itk(p, False),
    "zipped.mha": lambda p: itk(p, True),
    "raw.mha": lambda p: itk(p, False),
    "plain.tif": tiff,
    "zipped.tif": lambda p: tiff(p, compression="zlib"),
    "stored.npz": lambda p: np.savez(p, imgs=ZYX, spacing=(1, 2, 3)),
    "zipped.npz": lambda p: np.savez_compressed(p, imgs=ZYX, spacing=(1, 2, 3)),
    "slice.dcm": lambda p: slice_dataset(ZYX[0], (0, 0, 0)).save_as(p),
    "frames.dcm": lambda p: write_enhanced(p, ZYX, [(0, 0, n) for n in range(4)]),
    "seg.dcm": seg,
}


def damaged(data: bytes, rng: random.Random, head: int) -> bytes:
    out = bytearray(data)
    reach = len(out) if rng.random() < 0.3 else min(len(out), head)
    for _ in range(rng.choice((1, 1, 2, 5))):
        out[rng.randrange(reach)] = rng.choice((0, 1, 255, rng.randrange(256)))
    return bytes(out[: rng.randrange(len(out))] if rng.random() < 0.15 else out)


@pytest.mark.parametrize("name", MAKERS)
def test_damage_is_refused_or_read(name: str, tmp_path: Path) -> None:
    whole = tmp_path / name
    MAKERS[name](whole)
    data = whole.read_bytes()
    path = tmp_path / f"broken{name[name.index('.') :]}"
    like = read_image(write_nifti(tmp_path / "like.nii", ZYX)).header
    rng = random.Random(name)
    said: list[str] = []
    for _ in range(60):
        path.write_bytes(damaged(data, rng, 1600 if name.endswith("dcm") else 600))
        for read in (
            lambda: read_image(path),
            lambda: read_header(path),
            lambda: read_labels([LabelFile(path.name, member="imgs")], tmp_path, like),
        ):
            try:
                read()
            except ReadError as error:
                said.append(str(error))
    assert said
    assert all(text.startswith("broken.") for text in said)
    assert not [text for text in said if "Doe" in text or "Jane" in text or "4711" in text]
